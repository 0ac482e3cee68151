use crate::HeadsError;

/// A linear classifier: the logits of a feature x are `weight x + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearClassifier {
    /// The dimension of a feature.
    pub dim: usize,
    /// The number of classes.
    pub classes: usize,
    /// `[classes, dim]`, row-major: one row per class.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
}

impl LinearClassifier {
    /// The uninformative classifier: all logits are zero.
    pub(crate) fn zero(dim: usize, classes: usize) -> Self {
        Self { dim, classes, weight: vec![0.0; classes * dim], bias: vec![0.0; classes] }
    }

    /// The weights of a class.
    pub(crate) fn row_mut(&mut self, class: usize) -> &mut [f32] {
        &mut self.weight[class * self.dim..][..self.dim]
    }

    /// The logits of features: `[images, dim]` to `[images, classes]`, both row-major.
    ///
    /// # Errors
    ///
    /// If `features` is not a whole number of rows.
    pub fn logits(&self, features: &[f32]) -> Result<Vec<f32>, HeadsError> {
        let images = features.len().checked_div(self.dim).unwrap_or(0);
        if features.len() != images * self.dim {
            return Err(HeadsError::Length {
                what: "a table of features",
                actual: features.len(),
                expected: images * self.dim,
                because: format!("{images} whole rows of {} dimensions", self.dim),
            });
        }
        let mut logits = Vec::with_capacity(images * self.classes);
        for feature in features.chunks_exact(self.dim.max(1)) {
            for (weight, &bias) in self.weight.chunks_exact(self.dim).zip(&self.bias) {
                let dot: f64 =
                    weight.iter().zip(feature).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                logits.push((dot + f64::from(bias)) as f32);
            }
        }
        Ok(logits)
    }
}
