//! What a rule draws.

use super::{Partition, Shards};

/// What a rule draws.
pub(super) enum Drawn {
    /// Training images; names and test images come after.
    Shards(Shards),
    /// Clients with names and test images of their own.
    Clients(Partition),
}

impl Drawn {
    /// Change every client's training images.
    pub(super) fn each_train(&mut self, mut change: impl FnMut(&mut Vec<usize>)) {
        match self {
            Self::Shards(shards) => shards.iter_mut().for_each(change),
            Self::Clients(partition) => {
                partition.clients.iter_mut().for_each(|client| change(&mut client.train));
            }
        }
    }
}
