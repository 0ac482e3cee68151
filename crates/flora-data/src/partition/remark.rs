//! Remarks on artefacts of a partition's settings.

use super::{Partition, PartitionConfig, Remainder};
use crate::Dataset;

/// A multiple of the median that counts as an outlier.
const OUTLIER: usize = 2;

impl PartitionConfig {
    /// A property of `partition`, drawn from `dataset` with these settings, that could be mistaken for a property of
    /// the data: a sentence, or `None`.
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

/// Considers only the first `clients`, which were drawn. Rounding gives the last client up to one additional image per
/// class: if it has even more, its draw was large.
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
             to the last client, as in the reference code; `partition.remainder = \"spread\"` distributes it",
            last.id
        )
    })
}
