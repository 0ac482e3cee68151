//! Shards of skewed sizes (Li et al. 2022, arXiv 2102.02079).

use flora_core::seed;

use super::Shards;
use super::pool::Pool;
use super::skew::{self, Rule};
use crate::{Error, Split};

pub(super) fn shards(pool: &Pool<'_>, rule: Rule, seed: u64) -> Result<Shards, Error> {
    let images = vec![pool.indices(Split::Train)];
    skew::shards(images, rule, &mut seed::stream(seed, "partition/quantity"))
}
