//! Results of a rule.

use super::{Partition, Shards};

/// The result of a rule.
pub(super) enum Drawn {
    /// Training images; names and test images are added later.
    Shards(Shards),
    /// Clients with their own names and test images.
    Clients(Partition),
}

impl Drawn {
    /// Changes every client's training images.
    pub(super) fn each_train(&mut self, mut change: impl FnMut(&mut Vec<usize>)) {
        match self {
            Self::Shards(shards) => shards.iter_mut().for_each(change),
            Self::Clients(partition) => {
                partition.clients.iter_mut().for_each(|client| change(&mut client.train));
            }
        }
    }
}
