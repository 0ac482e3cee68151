use super::ClassificationReport;
use crate::ReportError;

/// The confusion matrix of this many classes takes 800 MB.
const MOST_CLASSES: usize = 10_000;
/// Number of top ranks that count for top-5.
const FIVE: usize = 5;

/// Counts predictions image by image. [The module](super) describes how ties are resolved.
#[derive(Debug, Clone)]
pub struct Tally {
    classes: Vec<String>,
    /// Rows true, columns predicted.
    confusion: Vec<Vec<u64>>,
    images: u64,
    among_five: u64,
}

impl Tally {
    /// No images yet. Names may repeat; a class is its place in the list.
    ///
    /// # Errors
    /// [`ReportError::Classes`] for none, or more than 10,000 (the confusion matrix is dense).
    pub fn new(classes: Vec<String>) -> Result<Self, ReportError> {
        let count = classes.len();
        if !(1..=MOST_CLASSES).contains(&count) {
            let problem = format!("there are {count}; a report needs 1 to {MOST_CLASSES}");
            return Err(ReportError::Classes(problem));
        }
        Ok(Self { classes, confusion: vec![vec![0; count]; count], images: 0, among_five: 0 })
    }

    /// Counts one image: its true class, an index into the list, and the score of every class. Scores are logits,
    /// similarities or probabilities: only their order matters, and infinite scores are ranked like other numbers.
    ///
    /// # Errors
    /// [`ReportError::Scores`], which counts images from 0, for a class that is not in the list, a number of scores
    /// other than the number of classes, or a score that is NaN. The image is then not counted.
    pub fn add(&mut self, true_class: usize, scores: &[f32]) -> Result<(), ReportError> {
        let classes = self.classes.len();
        let refuse = |problem| Err(ReportError::Scores { image: self.images, problem });
        if true_class >= classes {
            return refuse(format!("its true class is {true_class}, but there are {classes}"));
        }
        if scores.len() != classes {
            return refuse(format!("there are {} scores for {classes} classes", scores.len()));
        }
        if let Some(class) = scores.iter().position(|score| score.is_nan()) {
            let name = &self.classes[class];
            return refuse(format!("the score of class {class} (`{name}`) is not a number"));
        }

        let own = scores[true_class];
        let before = scores[..true_class].iter().filter(|&&score| score >= own).count();
        let after = scores[true_class + 1..].iter().filter(|&&score| score > own).count();
        self.confusion[true_class][first_highest(scores)] += 1;
        self.among_five += u64::from(before + after < FIVE);
        self.images += 1;
        Ok(())
    }

    /// Counts many images.
    ///
    /// # Shapes
    /// - `true_classes`: `[images]`
    /// - `scores`: `[images, classes]`, row by row
    ///
    /// # Errors
    /// [`ReportError::Shape`] if the two do not match; nothing is then counted. [`ReportError::Scores`] as
    /// [`Tally::add`]; the images before that one have been counted.
    pub fn add_all(&mut self, true_classes: &[usize], scores: &[f32]) -> Result<(), ReportError> {
        let (images, classes) = (true_classes.len(), self.classes.len());
        if images.checked_mul(classes) != Some(scores.len()) {
            return Err(ReportError::Shape(format!(
                "there are {} for {images} images and {classes} classes; give one for each pair",
                scores.len()
            )));
        }
        let mut rows = true_classes.iter().zip(scores.chunks_exact(classes));
        rows.try_for_each(|(&true_class, scores)| self.add(true_class, scores))
    }

    /// Number of counted images.
    pub fn num_images(&self) -> u64 {
        self.images
    }

    /// The report.
    ///
    /// # Errors
    /// [`ReportError::Shape`] if no image has been counted.
    pub fn report(&self) -> Result<ClassificationReport, ReportError> {
        if self.images == 0 {
            return Err(ReportError::Shape("there are none: add at least one image".to_owned()));
        }
        // Of five classes or fewer, every one is among the first five.
        let top5 = (self.classes.len() > FIVE).then(|| self.among_five as f64 / self.images as f64);
        Ok(ClassificationReport::new(self.classes.clone(), self.confusion.clone(), top5))
    }
}

/// The first of the highest scores; of at least one, none of them NaN.
pub(crate) fn first_highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = class;
        }
    }
    best
}
