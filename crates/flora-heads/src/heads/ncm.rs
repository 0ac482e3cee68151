use super::{check, text_classifier};
use crate::{HeadsError, LinearClassifier, Moments};

/// Nearest class mean: the row of a class is the mean of its features, normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ncm {
    /// Factor of the texts in the rows of classes without images.
    pub prior: f64,
}

impl Default for Ncm {
    fn default() -> Self {
        Self { prior: 1.0 }
    }
}

impl Ncm {
    /// The head of these moments. `texts` are `[classes, dim]`, unit rows.
    ///
    /// # Errors
    ///
    /// If `texts` has another size or holds a non-finite value, or if `prior` is not finite.
    pub fn solve(&self, moments: &Moments, texts: &[f32]) -> Result<LinearClassifier, HeadsError> {
        check("prior", self.prior, true, "it must be finite")?;
        let mut head = text_classifier(moments, texts, self.prior)?;
        for class in 0..moments.classes() {
            let sum = moments.class_sum(class);
            let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
            if moments.class_counts()[class] <= 0.0 || norm == 0.0 {
                continue;
            }
            let row = &mut head.weight[class * moments.dim()..][..moments.dim()];
            for (to, value) in row.iter_mut().zip(sum) {
                *to = (value / norm) as f32;
            }
        }
        Ok(head)
    }
}
