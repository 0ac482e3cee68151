//! A few classes per client (McMahan et al., arXiv 1602.05629).

use flora_core::seed;
use rand::seq::SliceRandom;

use super::pool::Pool;
use super::{Shards, hand_out};
use crate::apportion::apportion;
use crate::{Error, Split};

pub(super) fn shards(
    pool: &Pool<'_>,
    clients: usize,
    classes_per_client: usize,
    seed: u64,
) -> Result<Shards, Error> {
    let mut by_class = pool.by_class(Split::Train);
    by_class.retain(|indices| !indices.is_empty());
    let classes = by_class.len();
    check(clients, classes_per_client, classes)?;

    let mut rng = seed::stream(seed, "partition/pathological");
    // Each client takes the least used classes so far: after k choices by K clients, each class has been taken floor(K
    // k / C) or ceil(K k / C) times, hence at least once.
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); classes];
    let mut order: Vec<usize> = (0..classes).collect();
    for client in 0..clients {
        order.shuffle(&mut rng);
        order.sort_by_key(|&class| holders[class].len());
        for &class in &order[..classes_per_client] {
            holders[class].push(client);
        }
    }

    let mut shards = vec![Vec::new(); clients];
    for (mut indices, holders) in by_class.into_iter().zip(holders) {
        indices.shuffle(&mut rng);
        let mut holds = vec![0; clients];
        for &client in &holders {
            holds[client] = 1;
        }
        let held: Vec<usize> = shards.iter().map(Vec::len).collect();
        let sizes = apportion(indices.len(), &holds, &held);
        hand_out(&indices, sizes.into_iter(), &mut shards);
    }
    Ok(shards)
}

fn check(clients: usize, classes_per_client: usize, classes: usize) -> Result<(), Error> {
    let wrong = |problem, remedy| {
        Err(Error::Partition { field: "classes_per_client".to_owned(), problem, remedy })
    };
    if classes_per_client == 0 || classes_per_client > classes {
        return wrong(
            format!(
                "{classes_per_client} classes for each client, of {classes} with training images"
            ),
            format!("choose 1 to {classes}"),
        );
    }
    // Leaving classes out would not be a partition, and assigning more classes than requested would not be the
    // requested one.
    if clients.saturating_mul(classes_per_client) < classes {
        return wrong(
            format!(
                "{clients} clients of {classes_per_client} classes leave out {} of {classes} classes",
                classes - clients * classes_per_client
            ),
            format!(
                "raise it to at least {}, or `clients` to at least {}",
                classes.div_ceil(clients),
                classes.div_ceil(classes_per_client)
            ),
        );
    }
    Ok(())
}
