//! Pieces of the images sorted by label (McMahan et al., arXiv 1602.05629, section 3).

use flora_core::seed;
use rand::seq::SliceRandom;

use super::pool::Pool;
use super::{Shards, hand_out};
use crate::apportion::apportion;
use crate::{Error, Split};

pub(super) fn shards(
    pool: &Pool<'_>,
    clients: usize,
    shards_per_client: usize,
    seed: u64,
) -> Result<Shards, Error> {
    let mut by_class = pool.by_class(Split::Train);
    let images = by_class.iter().map(Vec::len).sum();
    check(clients, shards_per_client, images)?;

    let mut rng = seed::stream(seed, "partition/shards");
    // The paper leaves the order within a class open. The file order would put adjacent images, such as those of a
    // domain, into the same piece, and skew more than the labels.
    for class in &mut by_class {
        class.shuffle(&mut rng);
    }
    let sorted = by_class.concat();
    let count = clients * shards_per_client;
    let mut pieces = vec![Vec::new(); count];
    let sizes = apportion(images, &vec![1; count], &vec![0; count]);
    hand_out(&sorted, sizes.into_iter(), &mut pieces);
    pieces.shuffle(&mut rng);
    Ok(pieces.chunks(shards_per_client).map(|own| own.concat()).collect())
}

fn check(clients: usize, shards_per_client: usize, images: usize) -> Result<(), Error> {
    let wrong = |problem, remedy| {
        Err(Error::Partition { field: "shards_per_client".to_owned(), problem, remedy })
    };
    if shards_per_client == 0 {
        return wrong("no client would have an image".into(), "choose at least 1".into());
    }
    let pieces = clients.saturating_mul(shards_per_client);
    if pieces > images {
        return wrong(
            format!("{pieces} pieces cannot be cut from {images} training images"),
            format!(
                "lower it to at most {}, or `clients` to at most {}",
                images / clients,
                images / shards_per_client
            ),
        );
    }
    Ok(())
}
