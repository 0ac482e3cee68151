//! A few images of each class for each client.

use flora_core::seed;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{PartitionConfig, Shards, by_class, check_client_count, train_by_class};
use crate::{Dataset, Error};

pub(super) fn shards(
    dataset: &Dataset,
    shots: usize,
    of: &PartitionConfig,
    seed: u64,
) -> Result<Shards, Error> {
    if shots == 0 {
        return Err(Error::Partition {
            field: "shots".to_owned(),
            problem: "no client would have an image".to_owned(),
            remedy: "choose at least 1".to_owned(),
        });
    }
    let mut rng = seed::stream(seed, "partition/few-shot");
    let nested = |error: Error| error.nested_in("of");
    match of {
        PartitionConfig::FewShot { .. } => Err(Error::Partition {
            field: "of".to_owned(),
            problem: "few-shot of few-shot".to_owned(),
            remedy: "name the partition to draw from, as in `of = { kind = \"natural\" }`"
                .to_owned(),
        }),
        PartitionConfig::Iid { clients } => {
            check_client_count(*clients).map_err(nested)?;
            let pool = train_by_class(dataset);
            Ok((0..*clients)
                .map(|_| pool.iter().flat_map(|class| draw(class, shots, &mut rng)).collect())
                .collect())
        }
        PartitionConfig::Pathological { clients, .. } => {
            check_client_count(*clients).map_err(nested)?;
            disjoint_classes(dataset, *clients, shots, &mut rng)
        }
        PartitionConfig::Dirichlet { .. } | PartitionConfig::Natural => Ok(of
            .shards(dataset, seed)
            .map_err(nested)?
            .iter()
            .map(|shard| {
                let classes = by_class(dataset, shard);
                classes.iter().flat_map(|class| draw(class, shots, &mut rng)).collect()
            })
            .collect()),
    }
}

fn disjoint_classes(
    dataset: &Dataset,
    clients: usize,
    shots: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Shards, Error> {
    let mut classes = train_by_class(dataset);
    classes.retain(|indices| !indices.is_empty());
    let each = classes.len() / clients;
    if each == 0 {
        return Err(Error::Partition {
            field: "of.clients".to_owned(),
            problem: format!(
                "{clients} clients cannot have different classes: {} have training images",
                classes.len()
            ),
            remedy: format!("lower it to at most {}", classes.len()),
        });
    }
    classes.shuffle(rng);
    let mut shards = vec![Vec::new(); clients];
    for (rank, class) in classes.iter().enumerate() {
        let client = (rank / each).min(clients - 1);
        shards[client].extend(draw(class, shots, rng));
    }
    Ok(shards)
}

/// `shots` different images of a class, or all that there are.
fn draw(class: &[usize], shots: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut indices = class.to_vec();
    let (chosen, _) = indices.partial_shuffle(rng, shots.min(class.len()));
    chosen.to_vec()
}
