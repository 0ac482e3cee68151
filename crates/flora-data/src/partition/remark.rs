//! What is odd about a partition and comes of its settings.

use super::{Partition, PartitionConfig, Remainder};
use crate::Dataset;

/// So many times the median is an outlier.
const OUTLIER: usize = 2;

impl PartitionConfig {
    /// What whoever looks at `partition`, which these settings drew from `dataset`, may take for the nature of the
    /// data and is none: a sentence, or `None`.
    pub fn remark(&self, partition: &Partition, dataset: &Dataset) -> Option<String> {
        match self {
            Self::Dirichlet { remainder: Remainder::Last, clients, .. } => {
                last_is_outlier(partition, *clients, dataset.classes().len())
            }
            Self::BaseToNovel { of } => of.remark(partition, dataset),
            _ => None,
        }
    }
}

/// Of the first `clients`, which are those that were drawn. Rounding gives the last up to one image of every class too
/// many: whoever has still more was drawn large.
fn last_is_outlier(partition: &Partition, clients: usize, classes: usize) -> Option<String> {
    let drawn = partition.clients.get(..clients)?;
    let mut sizes: Vec<usize> = drawn.iter().map(|client| client.train.len()).collect();
    let (last, others) = (drawn.last()?, sizes.split_last()?.1);
    let size = last.train.len();
    if others.iter().any(|&other| other >= size) {
        return None;
    }
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    (size > OUTLIER * median && size - median <= classes).then(|| {
        format!(
            "{} holds {size} training images where the median is {median}: what rounding leaves of every class goes \
             to the last client, as in the reference codes; `partition.remainder = \"spread\"` deals it out",
            last.id
        )
    })
}
