use faer::Mat;

use super::{check, text_classifier};
use crate::factor::solve_shifted;
use crate::moments::diagonal;
use crate::{HeadsError, LinearClassifier, Moments};

/// Gaussian discriminant analysis: one Gaussian a class, with a covariance that all share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gda {
    /// Factor of the texts in the rows of classes without images.
    pub prior: f64,
}

impl Default for Gda {
    fn default() -> Self {
        Self { prior: 1.0 }
    }
}

impl Gda {
    /// The head of these moments. `texts` are `[classes, dim]`, unit rows.
    ///
    /// # Errors
    ///
    /// If `texts` has another size or holds a non-finite value, or if `prior` is not finite.
    pub fn solve(&self, moments: &Moments, texts: &[f32]) -> Result<LinearClassifier, HeadsError> {
        check("prior", self.prior, true, "it must be finite")?;
        let mut head = text_classifier(moments, texts, self.prior)?;
        let (dim, total) = (moments.dim(), moments.total());
        let seen: Vec<usize> =
            (0..moments.classes()).filter(|&class| moments.class_counts()[class] > 0.0).collect();
        if seen.is_empty() || moments.trace() <= 0.0 {
            return Ok(head);
        }
        let means = Mat::from_fn(dim, seen.len(), |row, column| {
            moments.class_sum(seen[column])[row] / moments.class_counts()[seen[column]]
        });
        // The scatter within the classes: the Gram matrix without what the means account for.
        let mut scatter = moments.gram().to_vec();
        for (column, &class) in seen.iter().enumerate() {
            let count = moments.class_counts()[class];
            for (row, start) in diagonal(dim).enumerate() {
                let scaled = count * means[(row, column)];
                for (offset, entry) in scatter[start..][..dim - row].iter_mut().enumerate() {
                    *entry -= scaled * means[(row + offset, column)];
                }
            }
        }
        let trace: f64 = diagonal(dim).map(|at| scatter[at]).sum();
        let (scatter, shift) = if total > 1.0 && trace > 1e-6 * moments.trace() {
            (scatter, trace / (total - 1.0))
        } else {
            (vec![0.0; scatter.len()], moments.trace() / total)
        };
        let mut weight = solve_shifted(&scatter, shift, &means)?;
        let log_prior = -(moments.classes() as f64).ln();
        for (column, &class) in seen.iter().enumerate() {
            let mut dot = 0.0;
            let row = &mut head.weight[class * dim..][..dim];
            for (at, to) in row.iter_mut().enumerate() {
                weight[(at, column)] *= dim as f64;
                dot += weight[(at, column)] * means[(at, column)];
                *to = weight[(at, column)] as f32;
            }
            head.bias[class] = (log_prior - dot / 2.0) as f32;
        }
        Ok(head)
    }
}
