//! Partitioning the common test and validation sets across clients.

use flora_core::seed;
use rand::seq::SliceRandom;

use super::pool::Pool;
use super::{Shards, class_counts, hand_out};
use crate::Split;
use crate::apportion::apportion;

/// Partitions each class of a split in proportion to the clients' training images of that class. `label` names the
/// random stream.
pub(super) fn shards(
    pool: &Pool<'_>,
    split: Split,
    train: &Shards,
    seed: u64,
    label: &str,
) -> Shards {
    let clients = train.len();
    let counts = class_counts(pool.dataset(), train.iter().map(Vec::as_slice));
    let mut rng = seed::stream(seed, label);
    let mut shards = vec![Vec::new(); clients];
    for (class, mut indices) in pool.by_class(split).into_iter().enumerate() {
        indices.shuffle(&mut rng);
        let mut weights: Vec<usize> = counts.iter().map(|counts| counts[class]).collect();
        if weights.iter().all(|&weight| weight == 0) {
            weights.fill(1);
        }
        let held: Vec<usize> = shards.iter().map(Vec::len).collect();
        let sizes = apportion(indices.len(), &weights, &held);
        hand_out(&indices, sizes.into_iter(), &mut shards);
    }
    shards
}
