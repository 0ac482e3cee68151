use faer::Mat;

use super::seen;
use crate::Moments;
use crate::moments::diagonal;

/// Scatter below this share of the second moment is a rounding error of the difference: every image equals the mean of
/// its class.
const NO_SCATTER: f64 = 1e-6;

/// Inputs of discriminant analysis: the means, and the scatter within the classes.
pub(super) struct Within {
    /// The classes that have images; columns of [`means`](Self::means).
    pub(super) seen: Vec<usize>,
    /// `[dim, seen]`.
    pub(super) means: Mat<f64>,
    /// The mean of all images, `[dim]`.
    pub(super) mean: Vec<f64>,
    /// sum over images of w (x - m_c)(x - m_c)^T, as an upper triangle; all zero if there is none.
    pub(super) scatter: Vec<f64>,
    /// The trace of [`scatter`](Self::scatter); `None` if there is none.
    pub(super) trace: Option<f64>,
}

impl Within {
    /// `None` without images, or if all features are zero.
    pub(super) fn of(moments: &Moments) -> Option<Self> {
        let (dim, counts, seen) = (moments.dim(), moments.class_counts(), seen(moments));
        if seen.is_empty() || moments.trace() <= 0.0 {
            return None;
        }
        let means = Mat::from_fn(dim, seen.len(), |row, column| {
            moments.class_sum(seen[column])[row] / counts[seen[column]]
        });
        // The Gram matrix minus the part explained by the means.
        let mut scatter = moments.gram().to_vec();
        for (column, &class) in seen.iter().enumerate() {
            for (row, start) in diagonal(dim).enumerate() {
                let scaled = counts[class] * means[(row, column)];
                for (entry, mean) in
                    scatter[start..].iter_mut().zip(means.col(column).iter().skip(row))
                {
                    *entry -= scaled * mean;
                }
            }
        }
        let trace: f64 = diagonal(dim).map(|at| scatter[at]).sum();
        let trace = (trace > NO_SCATTER * moments.trace()).then_some(trace);
        if trace.is_none() {
            scatter.fill(0.0);
        }
        Some(Self { seen, means, mean: moments.mean(), scatter, trace })
    }
}
