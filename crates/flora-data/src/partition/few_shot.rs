//! n images per class and client.

use flora_core::seed;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::clients::check_count;
use super::drawn::Drawn;
use super::pool::{Pool, by_class};
use super::{PartitionConfig, Shards};
use crate::{Dataset, Error, Split};

pub(super) fn draw(
    pool: &Pool<'_>,
    shots: usize,
    of: &PartitionConfig,
    seed: u64,
) -> Result<Drawn, Error> {
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
            problem: "few-shot cannot be nested".to_owned(),
            remedy: "name the partition to draw from, as in `of = { kind = \"natural\" }`"
                .to_owned(),
        }),
        PartitionConfig::BaseToNovel { .. } => Err(Error::Partition {
            field: "of".to_owned(),
            problem: "few-shot of base-to-novel".to_owned(),
            remedy: "put it the other way round: base-to-novel of few-shot".to_owned(),
        }),
        PartitionConfig::Iid { clients } => {
            check_count(*clients).map_err(nested)?;
            let classes = pool.by_class(Split::Train);
            let shared = |_| classes.iter().flat_map(|class| few(class, shots, &mut rng)).collect();
            Ok(Drawn::Shards((0..*clients).map(shared).collect()))
        }
        PartitionConfig::Pathological { clients, .. } => {
            check_count(*clients).map_err(nested)?;
            disjoint_classes(pool, *clients, shots, &mut rng).map(Drawn::Shards)
        }
        PartitionConfig::Shards { .. }
        | PartitionConfig::Dirichlet { .. }
        | PartitionConfig::Quantity { .. }
        | PartitionConfig::Natural
        | PartitionConfig::File { .. } => {
            let mut drawn = of.draw(pool, seed).map_err(nested)?;
            drawn
                .each_train(|train| *train = of_each_class(pool.dataset(), train, shots, &mut rng));
            Ok(drawn)
        }
    }
}

fn disjoint_classes(
    pool: &Pool<'_>,
    clients: usize,
    shots: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Shards, Error> {
    let mut classes = pool.by_class(Split::Train);
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
        shards[client].extend(few(class, shots, rng));
    }
    Ok(shards)
}

/// `shots` images of each class of a shard, ascending.
fn of_each_class(
    dataset: &Dataset,
    shard: &[usize],
    shots: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let classes = by_class(dataset, shard);
    let mut chosen: Vec<_> = classes.iter().flat_map(|class| few(class, shots, rng)).collect();
    chosen.sort_unstable();
    chosen
}

/// `shots` different images of a class, or all if there are fewer.
fn few(class: &[usize], shots: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut indices = class.to_vec();
    let (chosen, _) = indices.partial_shuffle(rng, shots.min(class.len()));
    chosen.to_vec()
}
