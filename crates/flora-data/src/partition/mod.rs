//! Which client holds which images.

mod base_to_novel;
mod clients;
mod config;
mod deal;
mod described;
mod dirichlet;
mod draw;
mod drawn;
mod few_shot;
mod file;
mod iid;
mod natural;
mod participants;
mod pathological;
mod pool;
mod proportions;
mod quantity;
mod remark;
mod saved;
mod shards;
mod skew;

use serde::{Deserialize, Serialize};

use crate::{Dataset, Split};

pub use base_to_novel::NOVEL;
pub use config::{PartitionConfig, Remainder};
pub use described::DescribedPartition;
pub use participants::Participants;

/// The images of one client: sample numbers of the data set, ascending.
///
/// Read from a file that counts its images by class ([`Partition::described`]), the counts are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "described::SavedShard")]
pub struct ClientShard {
    /// `client-03`, or the name of the client's domain, or `novel`
    /// ([`PartitionConfig::BaseToNovel`]).
    pub id: String,
    /// What it trains on; empty for a client that is only tested: those that are not among the
    /// [`Participants`], `novel`, and whoever has no training image in a file.
    pub train: Vec<usize>,
    /// What it is scored on while it trains, where a share of the training images is held out for that
    /// ([`Dataset::with_validation`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<usize>,
    /// What it is tested on; may be empty.
    pub test: Vec<usize>,
}

impl ClientShard {
    /// Its images of one side of the split.
    pub fn images(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// Who holds what; saved with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "described::Saved")]
pub struct Partition {
    /// The clients, in the order of their numbers (natural: of their domains).
    pub clients: Vec<ClientShard>,
    /// The labels in groups, when an image is told from the classes of its own group only:
    /// [`PartitionConfig::BaseToNovel`] has the base classes in one group and the novel ones in another.
    /// Every label is in one group; see [`candidates`](Partition::candidates).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_groups: Option<Vec<Vec<usize>>>,
}

/// The training images of the clients, in any order, before they get names and test images.
type Shards = Vec<Vec<usize>>;

impl Partition {
    /// Training images by client and class: `[clients][classes]`.
    ///
    /// # Panics
    ///
    /// When the partition belongs to another data set; see [`check`](Partition::check).
    pub fn class_counts(&self, dataset: &Dataset) -> Vec<Vec<usize>> {
        let shards = self.clients.iter().map(|client| client.train.as_slice());
        class_counts(dataset, shards)
    }

    /// The images that a run is scored on while it trains: the validation images where any client has some, and
    /// otherwise the test images.
    pub fn scored_on(&self) -> Split {
        let validates = self.clients.iter().any(|client| !client.validation.is_empty());
        if validates { Split::Validation } else { Split::Test }
    }

    /// The labels that nobody trains on, because [`class_groups`](Self::class_groups) has them in another group than the
    /// first.
    pub fn novel_classes(&self) -> impl Iterator<Item = usize> {
        self.class_groups.iter().flat_map(|groups| groups.iter().skip(1).flatten()).copied()
    }

    /// The labels that an image of class `label` is to be told from, its own among them; `None` when these
    /// are all classes. A loss over the classes and a score choose among the same candidates.
    pub fn candidates(&self, label: usize) -> Option<&[usize]> {
        let groups = self.class_groups.as_ref()?;
        groups.iter().find(|group| group.contains(&label)).map(Vec::as_slice)
    }
}

fn class_counts<'a>(
    dataset: &Dataset,
    shards: impl Iterator<Item = &'a [usize]>,
) -> Vec<Vec<usize>> {
    shards
        .map(|shard| {
            let mut counts = vec![0; dataset.classes().len()];
            for &i in shard {
                counts[dataset.label(i)] += 1;
            }
            counts
        })
        .collect()
}

/// Cut `indices` into consecutive pieces of the given sizes, one for each shard.
fn hand_out(indices: &[usize], sizes: impl Iterator<Item = usize>, shards: &mut Shards) {
    let mut rest = indices;
    for (shard, size) in shards.iter_mut().zip(sizes) {
        let (piece, after) = rest.split_at(size);
        shard.extend(piece);
        rest = after;
    }
    debug_assert!(rest.is_empty(), "the sizes must sum to the number of samples");
}
