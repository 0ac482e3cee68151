use serde::{Deserialize, Serialize};

/// The scores of a classifier. [The module](super) has the formulas; shares lie between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// The names, in the order of `per_class` and of `confusion`.
    pub classes: Vec<String>,
    /// Number of classified images.
    pub num_images: u64,
    /// Share of images whose true class ranks first.
    pub top1: f64,
    /// Share of images whose true class ranks among the first five. `None` for fewer than six
    /// classes, where it would always be 1.
    pub top5: Option<f64>,
    /// Mean recall of the classes that have images: each class counts the same, however many images
    /// it has.
    pub macro_accuracy: f64,
    /// Number of classes with images.
    #[serde(default)]
    pub num_tested_classes: u64,
    /// Share of the images of the largest class: the accuracy of always predicting that class.
    pub majority: f64,
    /// One over the number of classes, including those without images: the accuracy of random guessing.
    pub chance: f64,
    /// The scores of each class.
    pub per_class: Vec<ClassScore>,
    /// Numbers of images: rows the true class, columns the predicted one.
    pub confusion: Vec<Vec<u64>>,
}

/// The scores of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Number of images of this class.
    pub support: u64,
    /// Number of these that were predicted correctly.
    pub correct: u64,
    /// `correct / support`; `None` without images.
    pub recall: Option<f64>,
    /// The share of the images predicted as this class that belong to it; `None` if there are none.
    pub precision: Option<f64>,
    /// Harmonic mean of precision and recall; 0 if no image is correct, and `None` without images.
    pub f1: Option<f64>,
    /// The most frequent wrong prediction for its images, the first of several; `None` if all are correct.
    pub confused_with: Option<Confused>,
}

/// A confusion: another class that was predicted for the images of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confused {
    /// The name of the predicted class.
    pub name: String,
    /// Number of images.
    pub count: u64,
}

impl ClassificationReport {
    /// Of a square matrix with a row for each class and at least one image.
    pub(super) fn new(classes: Vec<String>, confusion: Vec<Vec<u64>>, top5: Option<f64>) -> Self {
        let per_class = scores(&classes, &confusion);
        let num_images = per_class.iter().map(|class| class.support).sum();
        let correct: u64 = per_class.iter().map(|class| class.correct).sum();
        let largest = per_class.iter().map(|class| class.support).max().unwrap_or(0);
        let recalls: Vec<f64> = per_class.iter().filter_map(|class| class.recall).collect();
        Self {
            num_images,
            top1: correct as f64 / num_images as f64,
            top5,
            macro_accuracy: recalls.iter().sum::<f64>() / recalls.len() as f64,
            num_tested_classes: recalls.len() as u64,
            majority: largest as f64 / num_images as f64,
            chance: 1.0 / classes.len() as f64,
            per_class,
            classes,
            confusion,
        }
    }
}

fn scores(classes: &[String], confusion: &[Vec<u64>]) -> Vec<ClassScore> {
    let mut predicted = vec![0; classes.len()];
    for row in confusion {
        for (sum, count) in predicted.iter_mut().zip(row) {
            *sum += count;
        }
    }
    let score = |(class, row): (usize, &Vec<u64>)| {
        let (support, correct) = (row.iter().sum(), row[class]);
        // Of equal counts `max_by_key` takes the last: the first of the list, from behind.
        let wrong = row.iter().enumerate().filter(|&(other, &count)| other != class && count > 0);
        let most = wrong.rev().max_by_key(|&(_, count)| count);
        let confused_with =
            most.map(|(other, &count)| Confused { name: classes[other].clone(), count });
        ClassScore {
            name: classes[class].clone(),
            support,
            correct,
            recall: share(correct, support),
            precision: share(correct, predicted[class]),
            f1: if support == 0 { None } else { share(2 * correct, support + predicted[class]) },
            confused_with,
        }
    };
    confusion.iter().enumerate().map(score).collect()
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
