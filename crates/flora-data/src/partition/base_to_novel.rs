//! Training on one half of the classes and testing on both (CoCoOp: Zhou et al., arXiv 2203.05557, section 4.1).

use super::pool::Pool;
use super::{ClientShard, Partition, PartitionConfig};
use crate::{Dataset, Error, Split};

/// The name of the client of [`PartitionConfig::BaseToNovel`] that is tested on the novel classes.
pub const NOVEL: &str = "novel";

pub(super) fn partition(
    dataset: &Dataset,
    of: &PartitionConfig,
    seed: u64,
) -> Result<Partition, Error> {
    let wrong = |field: &str, problem: String, remedy: &str| {
        Err(Error::Partition { field: field.to_owned(), problem, remedy: remedy.to_owned() })
    };
    if let PartitionConfig::BaseToNovel { .. } = of {
        return wrong(
            "of",
            "base-to-novel cannot be nested".to_owned(),
            "name the partition of the base classes, as in `of = { kind = \"iid\", clients = 10 }`",
        );
    }
    let classes = dataset.classes().len();
    let base = classes.div_ceil(2);
    let novel = Pool::of_classes(dataset, base..classes).indices(Split::Test);
    if novel.is_empty() {
        return wrong(
            "kind",
            format!(
                "\"base-to-novel\" has nothing to test: no test image of {:?} is of a novel class, one of \
                 the last {} of {classes}",
                dataset.name(),
                classes - base
            ),
            "raise the limit on test images, or choose another data set",
        );
    }
    let mut partition = of
        .partition_pool(&Pool::of_classes(dataset, 0..base), seed)
        .map_err(|error| error.nested_in("of"))?;
    if partition.class_groups.is_some() {
        return wrong(
            "of.path",
            "this partition already has class groups".to_owned(),
            "load it directly, with `partition.kind = \"file\"`",
        );
    }
    if partition.clients.iter().any(|client| client.id == NOVEL) {
        return Err(Error::DuplicateClient {
            id: NOVEL.to_owned(),
            remedy: "base-to-novel adds a client of that name: rename the domain's folder, or the client \
                     in the saved partition"
                .to_owned(),
        });
    }
    // It has no validation images: the choice of a round must not depend on novel classes.
    let novel = ClientShard { id: NOVEL.to_owned(), test: novel, ..ClientShard::default() };
    partition.clients.push(novel);
    partition.class_groups = Some(vec![(0..base).collect(), (base..classes).collect()]);
    Ok(partition)
}
