//! Limits on the size of a data set, for quick runs.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Sample, Split};
use crate::apportion::apportion;
use flora_core::seed;

/// Maximum number of training and test images; `None` keeps all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The maximum number of training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// The maximum number of test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
}

/// The samples to keep, in their old order: a random subset of each split that preserves the class proportions.
pub(super) fn keep(samples: &[Sample], classes: usize, limit: Limit, seed: u64) -> Vec<Sample> {
    let is_validation = |&index: &usize| samples[index].split == Split::Validation;
    let mut kept: Vec<usize> = (0..samples.len()).filter(is_validation).collect();
    for (split, most, label) in
        [(Split::Train, limit.train, "limit/train"), (Split::Test, limit.test, "limit/test")]
    {
        let mut by_class = vec![Vec::new(); classes];
        for (index, sample) in samples.iter().enumerate() {
            if sample.split == split {
                by_class[sample.label()].push(index);
            }
        }
        let sizes: Vec<usize> = by_class.iter().map(Vec::len).collect();
        let total: usize = sizes.iter().sum();
        let shares = apportion(most.unwrap_or(total).min(total), &sizes, &vec![0; classes]);
        let mut rng = seed::stream(seed, label);
        for (mut indices, share) in by_class.into_iter().zip(shares) {
            indices.shuffle(&mut rng);
            kept.extend(&indices[..share]);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|index| samples[index].clone()).collect()
}
