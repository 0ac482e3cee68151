use super::text_classifier;
use super::within::Within;
use crate::factor::solve_shifted;
use crate::{HeadsError, LinearClassifier, Moments};

/// Gaussian discriminant analysis as published by its authors: one Gaussian per class, with a shared covariance and a
/// fixed shrinkage.
///
/// With the means m_c, the covariance S within the classes (of N - 1), N images of dimension d and C classes:
///
/// ```text
/// P = d ((N - 1) S + tr(S) I)^-1      w_c = P m_c      b_c = log(1/C) - m_c.w_c / 2
/// ```
///
/// Its logits exceed log densities by a factor of d / (N - 1); the authors add them to CLIP's with a factor chosen on
/// validation images. [`Lda`](crate::Lda) needs no such factor, and shrinks less if there are many images.
///
/// A class without images keeps its text feature, times [`prior`](Self::prior). If no class has images that differ, all
/// directions count alike: P = d N / tr(G) I.
///
/// Source: Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, ICLR 2024
/// ([2402.04087](https://arxiv.org/abs/2402.04087)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gda {
    /// Factor of the text features in the rows of classes without images.
    pub prior: f64,
}

impl Default for Gda {
    fn default() -> Self {
        Self { prior: 1.0 }
    }
}

impl Gda {
    /// Computes the head from moments. `texts` are `[classes, dim]`, with rows of norm 1.
    ///
    /// # Errors
    ///
    /// If `texts` has another size or holds a non-finite value, or if `prior` is not finite.
    pub fn solve(&self, moments: &Moments, texts: &[f32]) -> Result<LinearClassifier, HeadsError> {
        let mut head = text_classifier(moments, texts, self.prior)?;
        let Some(within) = Within::of(moments) else { return Ok(head) };
        let (dim, total) = (moments.dim(), moments.total());
        let shift = match within.trace {
            Some(trace) if total > 1.0 => trace / (total - 1.0),
            _ => moments.trace() / total,
        };
        let precise = solve_shifted(&within.scatter, shift, &within.means)?;
        let log_prior = -(moments.classes() as f64).ln();
        for (column, &class) in within.seen.iter().enumerate() {
            let means = within.means.col(column).iter();
            let mut dot = 0.0;
            for ((to, value), mean) in
                head.row_mut(class).iter_mut().zip(precise.col(column).iter()).zip(means)
            {
                let weight = dim as f64 * value;
                dot += weight * mean;
                *to = weight as f32;
            }
            head.bias[class] = (log_prior - dot / 2.0) as f32;
        }
        Ok(head)
    }
}
