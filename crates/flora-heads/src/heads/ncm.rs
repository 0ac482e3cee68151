use super::text_classifier;
use crate::{HeadsError, LinearClassifier, Moments};

/// Nearest class mean: the row of a class is the normalised mean of its features, so the logit of a unit feature is a
/// cosine.
///
/// A class without images, or whose features cancel out, keeps its text feature, times [`prior`](Self::prior).
///
/// Source: Legate et al., Guiding The Last Layer in Federated Learning with Pre-Trained Models, NeurIPS 2023
/// ([2306.03937](https://arxiv.org/abs/2306.03937)), FedNCM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ncm {
    /// Factor of the text features in the rows of classes without images.
    pub prior: f64,
}

impl Default for Ncm {
    fn default() -> Self {
        Self { prior: 1.0 }
    }
}

impl Ncm {
    /// Computes the head from moments. `texts` are `[classes, dim]`, with rows of norm 1.
    ///
    /// # Errors
    ///
    /// If `texts` has another size or holds a non-finite value, or if `prior` is not finite.
    pub fn solve(&self, moments: &Moments, texts: &[f32]) -> Result<LinearClassifier, HeadsError> {
        let mut head = text_classifier(moments, texts, self.prior)?;
        for class in super::seen(moments) {
            let sum = moments.class_sum(class);
            let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
            if norm == 0.0 {
                continue;
            }
            for (to, value) in head.row_mut(class).iter_mut().zip(sum) {
                *to = (value / norm) as f32;
            }
        }
        Ok(head)
    }
}
