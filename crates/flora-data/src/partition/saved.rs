//! Partitions on disk.

use std::collections::BTreeSet;
use std::path::Path;

use super::described::{Saved, wrong_count};
use super::{ClientShard, Partition};
use crate::{Dataset, Error, Split};

impl Partition {
    /// Checks that a loaded partition fits `dataset`: all samples exist, in the right split, and none occurs twice for
    /// a client; clients have different ids, and some client trains; groups of classes, if there are any, contain every
    /// class once.
    ///
    /// This does not detect another selection of the same number of samples, which the counts of a saved partition do:
    /// see [`load_for`](Partition::load_for).
    ///
    /// # Errors
    ///
    /// [`Error::ForeignPartition`], naming the client.
    pub fn check(&self, dataset: &Dataset) -> Result<(), Error> {
        self.misfit(dataset).map_or(Ok(()), |problem| {
            Err(Error::ForeignPartition { dataset: dataset.name().to_owned(), problem })
        })
    }

    /// The mismatch.
    fn misfit(&self, dataset: &Dataset) -> Option<String> {
        if self.clients.iter().all(|client| client.train.is_empty()) {
            return Some("no client has a training image".to_owned());
        }
        let mut ids = BTreeSet::new();
        for client in &self.clients {
            let id = &client.id;
            if !ids.insert(id) {
                return Some(format!("two clients are called {id:?}"));
            }
            let mut held = BTreeSet::new();
            for split in Split::ALL {
                for &i in client.images(split) {
                    if i >= dataset.len() || dataset.split(i) != split {
                        let name = format!("{split:?}");
                        return Some(format!(
                            "sample {i} of {id} is not one of its {name} samples, as `data.protocol`, \
                             `data.limit` and `data.validation` have it"
                        ));
                    }
                    if !held.insert(i) {
                        return Some(format!("{id} holds sample {i} twice"));
                    }
                }
            }
        }
        let mut grouped: Vec<usize> = self.class_groups.as_ref()?.concat();
        grouped.sort_unstable();
        let classes = dataset.classes().len();
        (!grouped.iter().copied().eq(0..classes)).then(|| {
            format!("its `class_groups` do not hold each of the labels 0 to {} once", classes - 1)
        })
    }

    /// Writes the partition as JSON, without [class counts](Partition::described), but with its SHA-256.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.bare().save(path)
    }

    /// Reads a saved partition; [`check`](Partition::check) it against the data set before use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Syntax`] or [`Error::Damaged`], naming the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self::of(read(path)?))
    }

    /// Reads a saved partition, [checks](Partition::check) it against `dataset`, and compares its class counts, if it
    /// has any, with those of its images, which shows whether the images are numbered as before.
    ///
    /// # Errors
    ///
    /// The errors of [`load`](Partition::load); [`Error::ForeignPartition`], naming the file.
    pub fn load_for(path: &Path, dataset: &Dataset) -> Result<Self, Error> {
        let Saved { clients, class_groups, .. } = read(path)?;
        let foreign = |problem| Error::ForeignPartition {
            dataset: dataset.name().to_owned(),
            problem: format!("{}: {problem}", path.display()),
        };
        let (shards, wrong_counts): (_, Vec<_>) = clients
            .into_iter()
            .map(|client| {
                // Numbers that the data set does not have are reported below.
                let there = |numbers: &[usize]| numbers.iter().all(|&i| i < dataset.len());
                let there = [&client.train, &client.validation, &client.test]
                    .into_iter()
                    .all(|numbers| there(numbers));
                let wrong = if there { wrong_count(dataset, &client) } else { None };
                (ClientShard::from(client), wrong)
            })
            .unzip();
        let partition = Self { clients: shards, class_groups };
        match partition.misfit(dataset).or_else(|| wrong_counts.into_iter().flatten().next()) {
            Some(problem) => Err(foreign(problem)),
            None => Ok(partition),
        }
    }
}

impl Partition {
    fn of(Saved { clients, class_groups, .. }: Saved) -> Self {
        Self { clients: clients.into_iter().map(ClientShard::from).collect(), class_groups }
    }
}

impl TryFrom<Saved> for Partition {
    type Error = &'static str;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        if saved.is_intact() { Ok(Self::of(saved)) } else { Err(NOT_INTACT) }
    }
}

const NOT_INTACT: &str = "its contents do not match its `sha256`";

fn read(path: &Path) -> Result<Saved, Error> {
    let json = flora_core::files::read_text(path).map_err(Error::io("read the partition", path))?;
    let saved: Saved = serde_json::from_str(&json).map_err(|error| Error::Syntax {
        file: path.to_owned(),
        problem: error.to_string(),
        remedy: "this is not a saved partition: create it again",
    })?;
    if !saved.is_intact() {
        return Err(Error::Damaged {
            file: path.to_owned(),
            problem: NOT_INTACT.to_owned(),
            remedy: "create it again, or remove `sha256` from it if you changed it yourself"
                .to_owned(),
        });
    }
    Ok(saved)
}
