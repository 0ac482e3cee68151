use serde::{Deserialize, Serialize};

/// The classes, and their prior, in a client's softmax of the loss [`ClassCe`](crate::LossKind::ClassCe). Evaluation
/// always uses every class and no prior.
///
/// If clients hold different shares of the classes, the plain softmax also teaches a client's model the local class
/// frequencies, and pushes absent classes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SoftmaxKind {
    /// All classes, without a prior.
    #[default]
    All,
    /// All classes, with the logarithm of the client's own share of each class added to its logit: the balanced softmax
    /// ([arXiv 2007.10740](https://arxiv.org/abs/2007.10740)) or logit-adjusted loss with `tau = 1` ([arXiv
    /// 2007.07314](https://arxiv.org/abs/2007.07314)). The share of class `c` is `(n_c + 1) / (n + C)`, where `n_c` of
    /// the client's `n` training images are of it and there are `C` classes. The added one keeps the logarithm of an
    /// absent class finite; such a class is pushed away slightly.
    Balanced,
    /// Only the classes of the client's training images. Absent classes are not pushed away, which is the aim of
    /// FedRS's restricted softmax ([KDD 2021](https://doi.org/10.1145/3447548.3467254)); that one, with `alpha = 0`,
    /// counts each absent class as `exp(0)` in the sum, while this one leaves it out. A client with one class learns
    /// nothing.
    Restricted,
}

impl SoftmaxKind {
    /// Whether it is the plain softmax.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// The offsets that a client whose training images have these `labels` adds to the logits of `classes` classes:
    /// minus infinity for a class that its softmax leaves out. `None` if there are none.
    pub fn offsets(self, labels: &[usize], classes: usize) -> Option<Vec<f32>> {
        let mut counts = vec![0usize; classes];
        for &label in labels {
            counts[label] += 1;
        }
        let total = (labels.len() + classes) as f64;
        let offset = |count: usize| match self {
            Self::Balanced => ((count + 1) as f64 / total).ln() as f32,
            _ if count > 0 => 0.0,
            _ => f32::NEG_INFINITY,
        };
        (!self.is_all()).then(|| counts.into_iter().map(offset).collect())
    }
}

/// Class weights and offsets in the loss of a client's batches. The default has neither.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassTerms {
    /// The weight of an image of each class; see [`ClassWeights`](crate::ClassWeights).
    pub weights: Option<Vec<f32>>,
    /// The offset of the logit of each class; see [`SoftmaxKind::offsets`].
    pub offsets: Option<Vec<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_client() {
        let labels = [2, 0, 2, 2];
        assert_eq!(SoftmaxKind::All.offsets(&labels, 4), None);
        let restricted = [0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        assert_eq!(SoftmaxKind::Restricted.offsets(&labels, 4), Some(restricted.to_vec()));
        let balanced = SoftmaxKind::Balanced.offsets(&labels, 4).unwrap();
        for (offset, share) in balanced.iter().zip([2.0, 1.0, 4.0, 1.0]) {
            assert!((offset.exp() - share / 8.0).abs() < 1e-6, "{balanced:?}");
        }
    }
}
