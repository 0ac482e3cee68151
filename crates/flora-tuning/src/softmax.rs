use serde::{Deserialize, Serialize};

/// Over which classes, and with which prior, the loss [`ClassCe`](crate::LossKind::ClassCe) takes a client's softmax.
/// Evaluation is the same with all of them: every class, no prior.
///
/// Where clients hold different shares of the classes, the plain softmax also teaches a client's model how frequent each
/// class is there, and pushes the classes that the client lacks away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SoftmaxKind {
    /// All classes, as they are.
    #[default]
    All,
    /// All classes, with the logarithm of the client's own share of each added to its logit: the balanced softmax
    /// ([arXiv 2007.10740](https://arxiv.org/abs/2007.10740)) or logit-adjusted loss with `tau = 1`
    /// ([arXiv 2007.07314](https://arxiv.org/abs/2007.07314)). The share of class `c` is `(n_c + 1) / (n + C)`, where
    /// `n_c` of the client's `n` training images are of it and there are `C` classes. Without the one that is added, a
    /// class that the client lacks would have no finite logarithm; with it, such a class is pushed away a little.
    Balanced,
    /// The classes of which the client has a training image. Nothing pushes away a class that it lacks, which is the
    /// aim of FedRS's restricted softmax ([KDD 2021](https://doi.org/10.1145/3447548.3467254)); that one, with
    /// `alpha = 0`, counts each such class as `exp(0)` in the sum, and this one leaves it out. A client of one class
    /// learns nothing.
    Restricted,
}

impl SoftmaxKind {
    /// Whether it is the plain one.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// What a client whose training images have these `labels` adds to the logits of `classes` classes: minus infinity
    /// for a class that its softmax leaves out. `None` where nothing is added.
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

/// What the loss of a client's batches makes of its classes. The default is neither weights nor offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassTerms {
    /// How much an image of each class counts; see [`ClassWeights`](crate::ClassWeights).
    pub weights: Option<Vec<f32>>,
    /// What is added to the logit of each class; see [`SoftmaxKind::offsets`].
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
