//! One client for each domain.

use super::pool::Pool;
use super::{ClientShard, Partition};
use crate::{Error, Split};

pub(super) fn partition(pool: &Pool<'_>) -> Result<Partition, Error> {
    let dataset = pool.dataset();
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
    let client = |id: &String| ClientShard { id: id.clone(), train: Vec::new(), test: Vec::new() };
    let mut clients: Vec<_> = dataset.domains().iter().map(client).collect();
    for split in [Split::Train, Split::Test] {
        for i in pool.indices(split) {
            // Every sample has a domain when the data set has domains.
            if let Some(domain) = dataset.domain(i) {
                match split {
                    Split::Train => clients[domain].train.push(i),
                    Split::Test => clients[domain].test.push(i),
                }
            }
        }
    }
    if let Some(client) = clients.iter().find(|client| client.train.is_empty()) {
        return Err(Error::EmptyClient {
            client: client.id.clone(),
            problem: format!("none of {} is of its domain", pool.describe()),
            remedy: "raise the limit on training images, or remove the domain".to_owned(),
        });
    }
    Ok(Partition { clients, class_groups: None })
}
