//! The common test set, dealt out to clients.

use flora_core::seed;
use rand::seq::SliceRandom;

use super::pool::Pool;
use super::{Shards, class_counts, hand_out};
use crate::Split;
use crate::apportion::apportion;

/// Deal each class of the test set out in proportion to the clients' training images of that class.
pub(super) fn test_shards(pool: &Pool<'_>, train: &Shards, seed: u64) -> Shards {
    let clients = train.len();
    let counts = class_counts(pool.dataset(), train.iter().map(Vec::as_slice));
    let mut rng = seed::stream(seed, "partition/test");
    let mut shards = vec![Vec::new(); clients];
    for (class, mut indices) in pool.by_class(Split::Test).into_iter().enumerate() {
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
