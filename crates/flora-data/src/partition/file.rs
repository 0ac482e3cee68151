//! A saved partition.

use std::path::Path;

use super::Partition;
use super::pool::Pool;
use crate::Error;

/// Loads the partition at `path`, checks it against the data set, and keeps the images that are in the pool.
pub(super) fn partition(pool: &Pool<'_>, path: &Path) -> Result<Partition, Error> {
    if !path.is_file() {
        return Err(Error::Missing {
            what: "saved partition",
            path: path.to_owned(),
            remedy:
                "correct `partition.path`, which is relative to the current folder, or make the \
                     file with `flora partition FILE.toml --out FILE.json`"
                    .to_owned(),
        });
    }
    let mut partition = Partition::load_for(path, pool.dataset())?;
    for client in &mut partition.clients {
        // A client that trains in the file must not become one that is only tested.
        let trains = !client.train.is_empty();
        for indices in [&mut client.train, &mut client.validation, &mut client.test] {
            indices.retain(|&i| pool.contains(i));
            // Sorted like every partition drawn here, whatever program wrote it.
            indices.sort_unstable();
        }
        if trains && client.train.is_empty() {
            return Err(Error::EmptyClient {
                client: client.id.clone(),
                problem: format!("{} gives it none of {}", path.display(), pool.describe()),
                remedy: "save a partition in which every client has images of these classes"
                    .to_owned(),
            });
        }
    }
    Ok(partition)
}
