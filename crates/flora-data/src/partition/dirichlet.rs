//! Skewed label distributions (Hsu et al., arXiv 1909.06335).

use flora_core::seed;

use super::Shards;
use super::pool::Pool;
use super::skew::{self, Rule};
use crate::{Error, Split};

pub(super) fn shards(pool: &Pool<'_>, rule: Rule, seed: u64) -> Result<Shards, Error> {
    let classes = pool.by_class(Split::Train);
    skew::shards(classes, rule, &mut seed::stream(seed, "partition/dirichlet"))
}
