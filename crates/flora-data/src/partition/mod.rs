//! The partition of images across clients.

mod assign;
mod base_to_novel;
mod clients;
mod config;
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
/// If the file contains class counts ([`Partition::described`]), they are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "described::SavedShard")]
pub struct ClientShard {
    /// `client-03`, or the name of the client's domain, or `novel`
    /// ([`PartitionConfig::BaseToNovel`]).
    pub id: String,
    /// Training images; empty for a client that is only tested: those that are not among the [`Participants`], `novel`,
    /// and clients without training images in a file.
    pub train: Vec<usize>,
    /// Images for evaluation during training, if a share of the training images is held out for that
    /// ([`Dataset::with_validation`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<usize>,
    /// Test images; may be empty.
    pub test: Vec<usize>,
}

impl ClientShard {
    /// Its images of a split.
    pub fn images(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// The partition of a data set; saved with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "described::Saved")]
pub struct Partition {
    /// The clients, in the order of their numbers (natural: of their domains).
    pub clients: Vec<ClientShard>,
    /// Groups of labels, if an image is compared only with the classes of its own group:
    /// [`PartitionConfig::BaseToNovel`] has the base classes in one group and the novel ones in another. Every label is
    /// in one group; see [`candidates`](Partition::candidates).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_groups: Option<Vec<Vec<usize>>>,
}

/// The training images of the clients, in any order, before names and test images are added.
type Shards = Vec<Vec<usize>>;

impl Partition {
    /// Training images by client and class: `[clients][classes]`.
    ///
    /// # Panics
    ///
    /// Panics if the partition belongs to another data set; see [`check`](Partition::check).
    pub fn class_counts(&self, dataset: &Dataset) -> Vec<Vec<usize>> {
        let shards = self.clients.iter().map(|client| client.train.as_slice());
        class_counts(dataset, shards)
    }

    /// The split that a run is evaluated on during training: the validation images if any client has some, otherwise
    /// the test images.
    pub fn scored_on(&self) -> Split {
        let validates = self.clients.iter().any(|client| !client.validation.is_empty());
        if validates { Split::Validation } else { Split::Test }
    }

    /// Labels without training images, because [`class_groups`](Self::class_groups) has them in another group than the
    /// first.
    pub fn novel_classes(&self) -> impl Iterator<Item = usize> {
        self.class_groups.iter().flat_map(|groups| groups.iter().skip(1).flatten()).copied()
    }

    /// The candidate labels for an image of class `label`, including its own; `None` for all classes. Losses over
    /// classes and scores use the same candidates.
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

/// Splits `indices` into consecutive pieces of the given sizes, one for each shard.
fn hand_out(indices: &[usize], sizes: impl Iterator<Item = usize>, shards: &mut Shards) {
    let mut rest = indices;
    for (shard, size) in shards.iter_mut().zip(sizes) {
        let (piece, after) = rest.split_at(size);
        shard.extend(piece);
        rest = after;
    }
    debug_assert!(rest.is_empty(), "the sizes must sum to the number of samples");
}
