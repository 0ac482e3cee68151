use faer::Mat;

use super::check;
use crate::factor::solve_shifted;
use crate::moments::diagonal;
use crate::{HeadsError, LinearClassifier, Moments};

/// Linear discriminant analysis against the mean of all images: the logit of a class is
/// `log N(x; m_c, A) - log N(x; m, A)`, with the mean m_c of the class, the mean m of all images, and a covariance
/// `A = S + lambda tr(S)/d I` that all share, where S is the scatter within the classes of an image.
///
/// A class without images has m for its mean, and so a logit of exactly zero. Added to the logits of texts, it leaves
/// such a class to its text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lda {
    /// The shrinkage of the covariance, as a share of its mean eigenvalue. Without it `(10 C / N)^2` for N images of C
    /// classes: 1 where a class has ten images, and soon nothing where it has more.
    pub lambda: Option<f64>,
}

/// Images of a class with which the covariance is half shrunk.
const IMAGES: f64 = 10.0;

/// The least that is added: f32 sums know no smaller eigenvalue.
const LEAST: f64 = 1e-4;

impl Lda {
    /// The head of these moments.
    ///
    /// # Errors
    ///
    /// If `lambda` is not a positive number.
    pub fn solve(&self, moments: &Moments) -> Result<LinearClassifier, HeadsError> {
        let (dim, classes, total) = (moments.dim(), moments.classes(), moments.total());
        let (weight, bias) = (vec![0.0; classes * dim], vec![0.0; classes]);
        let mut head = LinearClassifier { dim, classes, weight, bias };
        let given = self.lambda.unwrap_or(1.0);
        check("lambda", given, given > 0.0, "it must be above 0")?;
        let counts = moments.class_counts();
        let seen: Vec<usize> = (0..classes).filter(|&class| counts[class] > 0.0).collect();
        if seen.is_empty() || moments.trace() <= 0.0 {
            return Ok(head);
        }
        let of = |class: usize, row: usize| moments.class_sum(class)[row] / counts[class];
        let mean: Vec<f64> = (0..dim)
            .map(|row| seen.iter().map(|&class| moments.class_sum(class)[row]).sum::<f64>() / total)
            .collect();
        let mut scatter: Vec<f64> = moments.gram().iter().map(|entry| entry / total).collect();
        for &class in &seen {
            for (row, start) in diagonal(dim).enumerate() {
                let scaled = counts[class] / total * of(class, row);
                for (offset, entry) in scatter[start..][..dim - row].iter_mut().enumerate() {
                    *entry -= scaled * of(class, row + offset);
                }
            }
        }
        let trace: f64 = diagonal(dim).map(|at| scatter[at]).sum();
        let per_class = total / seen.len() as f64;
        let lambda = self.lambda.unwrap_or_else(|| (IMAGES / per_class).powi(2).max(LEAST));
        // One image of each class has no scatter; then all directions count alike.
        let (scatter, shift) = match trace > 1e-6 * moments.trace() / total {
            true => (scatter, lambda * trace / dim as f64),
            false => (vec![0.0; scatter.len()], lambda * moments.trace() / total / dim as f64),
        };
        let right = Mat::from_fn(dim, seen.len(), |row, column| of(seen[column], row) - mean[row]);
        let solved = solve_shifted(&scatter, shift, &right)?;
        for (column, &class) in seen.iter().enumerate() {
            let row = &mut head.weight[class * dim..][..dim];
            let mut dot = 0.0;
            for (at, to) in row.iter_mut().enumerate() {
                let weight = solved[(at, column)];
                dot += weight * (of(class, at) + mean[at]);
                *to = weight as f32;
            }
            head.bias[class] = (-dot / 2.0) as f32;
        }
        Ok(head)
    }
}
