//! Shards with the distribution of the whole data set.

use flora_core::seed;
use rand::seq::SliceRandom;

use super::pool::Pool;
use super::{Shards, hand_out};
use crate::Split;
use crate::apportion::apportion;

pub(super) fn shards(pool: &Pool<'_>, clients: usize, seed: u64) -> Shards {
    let mut indices = pool.indices(Split::Train);
    indices.shuffle(&mut seed::stream(seed, "partition/iid"));
    let mut shards = vec![Vec::new(); clients];
    let sizes = apportion(indices.len(), &vec![1; clients], &vec![0; clients]);
    hand_out(&indices, sizes.into_iter(), &mut shards);
    shards
}
