//! Predictions image by image, for spreadsheets and scripts.

use std::path::Path;

use flora_core::files::write_atomic_with;

use crate::ReportError;

/// The prediction for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedImage {
    /// Its name: its path, or its position in a file of many images.
    pub path: String,
    /// The number of its true class, if known.
    pub label: Option<usize>,
    /// The probability of each class, 0..1; the first of the highest is the prediction.
    pub probabilities: Vec<f32>,
}

impl PredictedImage {
    /// The number of the predicted class.
    pub fn prediction(&self) -> usize {
        crate::classification::first_highest(&self.probabilities)
    }
}

/// Class probabilities of one image from its logits: softmax in f64. A logit of minus infinity gets 0.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// Writes a CSV file with a line for each image, and a header: `path`; `label`, the name of the true class, if any is
/// known; `prediction`; `probability`, that of the prediction; and for each class `p(NAME)`, in the order of `classes`.
/// Numbers have the fewest digits from which the same value is read back.
///
/// # Errors
/// [`ReportError::Io`].
pub fn save_predictions(
    path: &Path,
    classes: &[String],
    images: &[PredictedImage],
) -> Result<(), ReportError> {
    let labelled = images.iter().any(|image| image.label.is_some());
    let written = write_atomic_with(path, |out| {
        let mut table = csv::Writer::from_writer(out);
        let mut header = vec!["path".to_owned()];
        header.extend(labelled.then(|| "label".to_owned()));
        header.extend(["prediction", "probability"].map(str::to_owned));
        header.extend(classes.iter().map(|class| format!("p({class})")));
        table.write_record(&header)?;
        for image in images {
            let prediction = image.prediction();
            let mut row = vec![image.path.clone()];
            if labelled {
                row.push(image.label.map(|label| classes[label].clone()).unwrap_or_default());
            }
            row.push(classes[prediction].clone());
            row.push(image.probabilities[prediction].to_string());
            row.extend(image.probabilities.iter().map(f32::to_string));
            table.write_record(&row)?;
        }
        table.flush()
    });
    written.map_err(ReportError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_an_image_with_a_column_a_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/predictions.csv");
        let classes = ["cat", "dog, big"].map(str::to_owned);
        let image = |path: &str, label, probabilities: [f32; 2]| PredictedImage {
            path: path.into(),
            label,
            probabilities: probabilities.into(),
        };
        let images =
            [image("a \"1\".png", Some(1), [0.25, 0.75]), image("b.png", Some(0), [0.5, 0.5])];
        save_predictions(&path, &classes, &images).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "path,label,prediction,probability,p(cat),\"p(dog, big)\"\n\
             \"a \"\"1\"\".png\",\"dog, big\",\"dog, big\",0.75,0.25,0.75\n\
             b.png,cat,cat,0.5,0.5,0.5\n"
        );
        save_predictions(&path, &classes, &[image("c.png", None, [1.0, 0.0])]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "path,prediction,probability,p(cat),\"p(dog, big)\"\nc.png,cat,1,1,0\n");
    }

    /// Reference: `scipy.special.softmax([1, 3, 2])`.
    #[test]
    fn softmax_is_scipys() {
        let expected = [0.090_030_57, 0.665_240_94, 0.244_728_48];
        for (share, expected) in softmax(&[1.0, 3.0, 2.0]).into_iter().zip(expected) {
            assert!((share - expected).abs() < 1e-7);
        }
        assert_eq!(softmax(&[f32::NEG_INFINITY, 1000.0]), [0.0, 1.0]);
    }
}
