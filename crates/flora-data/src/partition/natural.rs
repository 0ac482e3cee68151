//! One client per domain.

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
    let client = |id: &String| ClientShard { id: id.clone(), ..ClientShard::default() };
    let mut clients: Vec<_> = dataset.domains().iter().map(client).collect();
    for split in Split::ALL {
        for i in pool.indices(split) {
            // Every sample has a domain if the data set has domains.
            if let Some(domain) = dataset.domain(i) {
                let client = &mut clients[domain];
                match split {
                    Split::Train => client.train.push(i),
                    Split::Validation => client.validation.push(i),
                    Split::Test => client.test.push(i),
                }
            }
        }
    }
    let empty: Vec<_> = clients.iter().filter(|client| client.train.is_empty()).collect();
    if !empty.is_empty() {
        return Err(nothing_to_train(pool, &empty));
    }
    Ok(Partition { clients, class_groups: None })
}

/// One error for all of them, so that they need not be fixed one by one.
fn nothing_to_train(pool: &Pool<'_>, empty: &[&ClientShard]) -> Error {
    let names: Vec<&str> = empty.iter().map(|client| client.id.as_str()).collect();
    let whose = if names.len() == 1 { "its domain" } else { "their domains" };
    let held_out: usize =
        empty.iter().map(|client| client.validation.len() + client.test.len()).sum();
    let remedy = if held_out == 0 {
        "raise the limit on training images, or remove the domain"
    } else {
        "choose `data.protocol = \"stratified-80-20\"`, which leaves every domain an image to train with, \
         raise the limit on training images, or remove the domain"
    };
    Error::EmptyClient {
        client: names.join(", "),
        problem: format!(
            "no training image of {} is of {whose}, and {held_out} are held out for testing",
            pool.describe()
        ),
        remedy: remedy.to_owned(),
    }
}
