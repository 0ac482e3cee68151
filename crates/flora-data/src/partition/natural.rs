//! One client for each domain.

use super::Shards;
use crate::{Dataset, Error, Split};

pub(super) fn shards(dataset: &Dataset, split: Split) -> Result<Shards, Error> {
    if dataset.domains().is_empty() {
        return Err(Error::Partition {
            field: "kind".to_owned(),
            problem: format!(
                "\"natural\" needs a data set with domains, and {:?} has none",
                dataset.name()
            ),
            remedy:
                "choose \"iid\", \"dirichlet\" or \"pathological\", or put {domain} into the data \
                     set's `layout.pattern`"
                    .to_owned(),
        });
    }
    let mut shards = vec![Vec::new(); dataset.domains().len()];
    for i in dataset.indices(split) {
        // Every sample has a domain when the data set has domains.
        if let Some(domain) = dataset.domain(i) {
            shards[domain].push(i);
        }
    }
    Ok(shards)
}
