use faer::Mat;

use super::check;
use super::within::Within;
use crate::factor::solve_shifted;
use crate::{HeadsError, LinearClassifier, Moments};

/// Linear discriminant analysis against the mean of all images: the logit of a class is
/// `log N(x; m_c, A) - log N(x; m, A)`.
///
/// With the means m_c of the classes, the mean m of all N images, and the covariance S within the classes (of N), in d
/// dimensions:
///
/// ```text
/// A = S + lambda tr(S)/d I      w_c = A^-1 (m_c - m)      b_c = -(m_c + m).w_c / 2
/// ```
///
/// All classes have the same prior probability. The common term log N(x; m, A) changes no probability; without it,
/// scikit-learn's `LinearDiscriminantAnalysis` has the same logits with a `shrinkage` of lambda / (1 + lambda), uniform
/// class frequencies and 1 + lambda times the covariance.
///
/// A class without images has the mean m, and so a logit of exactly zero. Added to text logits, the head then leaves
/// such a class to its text. The same holds for a head of a single image, or of equal ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lda {
    /// The shrinkage of the covariance, as a share of its mean eigenvalue. By default `(10 C / N)^2` for N images of C
    /// classes, at least 1e-4: 1 at ten images per class, and quickly falling with more.
    ///
    /// The default was chosen for clip-nano on held-out training images of EmojiVendors and Fashion-MNIST. A power of 1
    /// or 1.5, a factor of 5 or 20, and any fixed number did worse there; so did `d / N`, the share of
    /// [`Gda`](crate::Gda).
    pub lambda: Option<f64>,
}

/// Images per class at which the covariance is half shrunk.
const IMAGES: f64 = 10.0;

/// The smallest shrinkage: f32 sums cannot resolve smaller eigenvalues.
const LEAST: f64 = 1e-4;

impl Lda {
    /// Computes the head from moments.
    ///
    /// # Errors
    ///
    /// If `lambda` is not a positive number.
    pub fn solve(&self, moments: &Moments) -> Result<LinearClassifier, HeadsError> {
        let given = self.lambda.unwrap_or(1.0);
        check("lambda", given, given > 0.0, "it must be above 0")?;
        let (dim, total) = (moments.dim(), moments.total());
        let mut head = LinearClassifier::zero(dim, moments.classes());
        let Some(Within { seen, means, mean, mut scatter, trace }) = Within::of(moments) else {
            return Ok(head);
        };
        let per_class = total / seen.len() as f64;
        let lambda = self.lambda.unwrap_or_else(|| (IMAGES / per_class).powi(2).max(LEAST));
        for entry in &mut scatter {
            *entry /= total;
        }
        // Without scatter, all directions count alike.
        let shift = lambda * trace.unwrap_or_else(|| moments.trace()) / total / dim as f64;
        let right = Mat::from_fn(dim, seen.len(), |row, column| means[(row, column)] - mean[row]);
        let solved = solve_shifted(&scatter, shift, &right)?;
        for (column, &class) in seen.iter().enumerate() {
            let mut dot = 0.0;
            for (row, to) in head.row_mut(class).iter_mut().enumerate() {
                let weight = solved[(row, column)];
                dot += weight * (means[(row, column)] + mean[row]);
                *to = weight as f32;
            }
            head.bias[class] = (-dot / 2.0) as f32;
        }
        Ok(head)
    }
}
