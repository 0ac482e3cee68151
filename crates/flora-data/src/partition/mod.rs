//! Which client holds which images.

mod config;
mod deal;
mod dirichlet;
mod few_shot;
mod iid;
mod natural;
mod participants;
mod pathological;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Split, files};

pub use config::PartitionConfig;
pub use participants::Participants;

/// More clients than any simulation holds; keeps a slip of the keyboard from exhausting the memory.
const MOST_CLIENTS: usize = 100_000;

/// The images of one client: sample numbers of the data set, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientShard {
    /// `client-03`, or the name of the client's domain.
    pub id: String,
    /// What it trains on; never empty in a partition made by [`PartitionConfig::apply`], but empty for a
    /// client that is only tested ([`Participants`]).
    pub train: Vec<usize>,
    /// What it is tested on; may be empty.
    pub test: Vec<usize>,
}

/// Who holds what; saved with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The clients, in the order of their numbers (natural: of their domains).
    pub clients: Vec<ClientShard>,
}

/// The training images of the clients, in any order, before they get names and test images.
type Shards = Vec<Vec<usize>>;

impl PartitionConfig {
    /// Deal `dataset` out to clients. The result depends on the arguments alone.
    ///
    /// The test images of a natural client are those of its domain. Otherwise the common test set is dealt
    /// out class by class in proportion to the clients' training images of the class (largest remainder; a
    /// class that nobody trains on is dealt evenly), so that the test shards cover the test set exactly and
    /// disjointly and follow the label distribution of their client. The mean of the clients' accuracies,
    /// weighted by their test images, is therefore the accuracy on the common test set.
    ///
    /// # Errors
    ///
    /// [`Error::Partition`] when a setting is out of range or impossible for this data set,
    /// [`Error::EmptyClient`] when a client would have nothing to train on.
    pub fn apply(&self, dataset: &Dataset, seed: u64) -> Result<Partition, Error> {
        let shards = self.shards(dataset, seed)?;
        let count = shards.len();
        let ids = match self.is_natural() {
            true => dataset.domains().to_vec(),
            false => (0..count).map(|k| id(k, count)).collect(),
        };
        let tests = match self.is_natural() {
            true => natural::shards(dataset, Split::Test)?,
            false => deal::test_shards(dataset, &shards, seed),
        };
        let mut clients = Vec::with_capacity(count);
        for ((id, mut train), mut test) in ids.into_iter().zip(shards).zip(tests) {
            if train.is_empty() {
                return Err(self.empty_client(dataset, id, count));
            }
            train.sort_unstable();
            test.sort_unstable();
            clients.push(ClientShard { id, train, test });
        }
        Ok(Partition { clients })
    }

    fn shards(&self, dataset: &Dataset, seed: u64) -> Result<Shards, Error> {
        match self {
            Self::Iid { clients } => {
                self.check_clients(*clients, dataset)?;
                Ok(iid::shards(dataset, *clients, seed))
            }
            &Self::Dirichlet { clients, beta, min_samples, capacity_mask, max_tries, repair } => {
                self.check_clients(clients, dataset)?;
                let rule = dirichlet::Rule {
                    clients,
                    beta,
                    min_samples,
                    capacity_mask,
                    max_tries,
                    repair,
                };
                dirichlet::shards(dataset, rule, seed)
            }
            Self::Pathological { clients, classes_per_client } => {
                self.check_clients(*clients, dataset)?;
                pathological::shards(dataset, *clients, *classes_per_client, seed)
            }
            Self::Natural => natural::shards(dataset, Split::Train),
            Self::FewShot { shots, of } => few_shot::shards(dataset, *shots, of, seed),
        }
    }

    fn check_clients(&self, clients: usize, dataset: &Dataset) -> Result<(), Error> {
        check_client_count(clients)?;
        let images = dataset.indices(Split::Train).len();
        if clients > images {
            return Err(self.empty_client(dataset, id(images, clients), clients));
        }
        Ok(())
    }

    fn empty_client(&self, dataset: &Dataset, client: String, clients: usize) -> Error {
        let images = dataset.indices(Split::Train).len();
        let remedy = match self {
            Self::Dirichlet { min_samples: 0, .. } if clients <= images => {
                "set `min_samples` to at least 1"
            }
            _ if self.is_natural() => "raise the limit on training images, or remove the domain",
            _ => "lower `clients`, or raise the limit on training images",
        };
        Error::EmptyClient {
            client,
            problem: format!("{:?} has {images} of them for {clients} clients", dataset.name()),
            remedy: remedy.to_owned(),
        }
    }
}

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

    /// Check that a loaded partition fits `dataset`: all samples exist, on the right side of the split, and
    /// somebody trains.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignPartition`], naming the client.
    pub fn check(&self, dataset: &Dataset) -> Result<(), Error> {
        let foreign = |problem: String| Error::ForeignPartition {
            dataset: dataset.name().to_owned(),
            problem,
        };
        if self.clients.iter().all(|client| client.train.is_empty()) {
            return Err(foreign("no client has a training image".to_owned()));
        }
        for client in &self.clients {
            for (indices, split) in [(&client.train, Split::Train), (&client.test, Split::Test)] {
                let wrong = |&&i: &&usize| i >= dataset.len() || dataset.split(i) != split;
                if let Some(i) = indices.iter().find(wrong) {
                    let problem =
                        format!("sample {i} of {} is not one of its {split:?} samples", client.id);
                    return Err(foreign(problem));
                }
            }
        }
        Ok(())
    }

    /// Write the partition as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))?;
        files::write_atomic(path, &json)
    }

    /// Read a partition that [`save`](Partition::save) wrote; [`check`](Partition::check) it against the
    /// data set before use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Syntax`], naming the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let json = std::fs::read(path).map_err(Error::io("read the partition", path))?;
        serde_json::from_slice(&json).map_err(|error| Error::Syntax {
            file: path.to_owned(),
            problem: error.to_string(),
            remedy: "this is not a saved partition: make it anew",
        })
    }
}

/// `client-03`; as many digits as the last client needs, but at least two, so that ids sort.
fn id(client: usize, clients: usize) -> String {
    let width = clients.saturating_sub(1).to_string().len().max(2);
    format!("client-{client:0width$}")
}

fn check_client_count(clients: usize) -> Result<(), Error> {
    if (1..=MOST_CLIENTS).contains(&clients) {
        return Ok(());
    }
    Err(Error::Partition {
        field: "clients".to_owned(),
        problem: format!("{clients} clients are not possible"),
        remedy: format!("choose 1 to {MOST_CLIENTS}"),
    })
}

/// The training samples of each class, ascending.
fn train_by_class(dataset: &Dataset) -> Vec<Vec<usize>> {
    by_class(dataset, &dataset.indices(Split::Train))
}

fn by_class(dataset: &Dataset, indices: &[usize]) -> Vec<Vec<usize>> {
    let mut classes = vec![Vec::new(); dataset.classes().len()];
    for &i in indices {
        classes[dataset.label(i)].push(i);
    }
    classes
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
