//! A partition with the class counts of its clients.

use std::collections::BTreeMap;
use std::path::Path;

use flora_core::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ClientShard, Partition};
use crate::{Dataset, Error, Split, files};

/// Number of images by class name; classes without images are left out.
pub(super) type ClassCounts = BTreeMap<String, usize>;

/// A client in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedShard {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) train_classes: Option<ClassCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) validation_classes: Option<ClassCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) test_classes: Option<ClassCounts>,
    pub(super) train: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) validation: Vec<usize>,
    pub(super) test: Vec<usize>,
}

/// The contents of a partition file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    /// SHA-256 of the rest, in hexadecimal: [`Saved::digest`]. Files written by hand have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    pub(super) clients: Vec<SavedShard>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class_groups: Option<Vec<Vec<usize>>>,
}

impl Saved {
    fn new(clients: Vec<SavedShard>, class_groups: Option<Vec<Vec<usize>>>) -> Self {
        let mut saved = Self { sha256: None, clients, class_groups };
        saved.sha256 = Some(saved.digest());
        saved
    }

    /// Digest of the JSON without spaces and `sha256`, so that a file may be reformatted.
    fn digest(&self) -> String {
        let content = (&self.clients, &self.class_groups);
        hex::encode(&Sha256::digest(serde_json::to_vec(&content).expect("plain data")))
    }

    /// Whether the contents match the checksum.
    pub(super) fn is_intact(&self) -> bool {
        self.sha256.as_ref().is_none_or(|sha256| *sha256 == self.digest())
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        files::write_atomic(path, &serde_json::to_vec(self).expect("plain data"))
    }
}

/// A [`Partition`] as saved with a run. Each client additionally has `train_classes` and `test_classes`, its numbers of
/// training and test images by class (and `validation_classes`, if there are validation images), and the file has a
/// `sha256`, which detects damage. Created by [`Partition::described`]; read with [`Partition::load_for`] or, without a
/// check of the counts, [`Partition::load`].
#[derive(Serialize)]
#[serde(transparent)]
pub struct DescribedPartition(Saved);

impl DescribedPartition {
    /// Writes the partition as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.0.save(path)
    }
}

impl Partition {
    /// Adds the classes of each client's images, for saving.
    ///
    /// # Panics
    ///
    /// Panics if the partition belongs to another data set; see [`check`](Partition::check).
    pub fn described(&self, dataset: &Dataset) -> DescribedPartition {
        let described = |client: &ClientShard| SavedShard {
            train_classes: Some(counts(dataset, &client.train)),
            validation_classes: (!client.validation.is_empty())
                .then(|| counts(dataset, &client.validation)),
            test_classes: Some(counts(dataset, &client.test)),
            ..SavedShard::from(client)
        };
        let clients = self.clients.iter().map(described).collect();
        DescribedPartition(Saved::new(clients, self.class_groups.clone()))
    }

    /// The partition without classes, for saving.
    pub(super) fn bare(&self) -> Saved {
        let clients = self.clients.iter().map(SavedShard::from).collect();
        Saved::new(clients, self.class_groups.clone())
    }

    /// Writes a CSV file with a header and one line for each image of each client: `client`, `split` (`train`,
    /// `validation` or `test`), `index` (the number of the image), `class` and `path`, the image's name in
    /// [`Dataset::describe`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics if the partition belongs to another data set; see [`check`](Partition::check).
    pub fn save_files(&self, path: &Path, dataset: &Dataset) -> Result<(), Error> {
        let written = flora_core::files::write_atomic_with(path, |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(["client", "split", "index", "class", "path"])?;
            for client in &self.clients {
                for split in Split::ALL {
                    for &i in client.images(split) {
                        let class = &dataset.classes()[dataset.label(i)];
                        let (index, place) = (i.to_string(), dataset.describe(i));
                        table.write_record([&client.id, split.as_str(), &index, class, &place])?;
                    }
                }
            }
            table.flush()
        });
        written.map_err(Error::io("write", path))
    }
}

pub(super) fn counts(dataset: &Dataset, indices: &[usize]) -> ClassCounts {
    let mut counts = ClassCounts::new();
    for &i in indices {
        *counts.entry(dataset.classes()[dataset.label(i)].clone()).or_default() += 1;
    }
    counts
}

impl From<SavedShard> for ClientShard {
    fn from(SavedShard { id, train, validation, test, .. }: SavedShard) -> Self {
        Self { id, train, validation, test }
    }
}

impl From<&ClientShard> for SavedShard {
    fn from(client: &ClientShard) -> Self {
        let ClientShard { id, train, validation, test } = client.clone();
        let (train_classes, validation_classes, test_classes) = (None, None, None);
        Self { id, train_classes, validation_classes, test_classes, train, validation, test }
    }
}

/// A message about the first count of a saved client that does not match its images.
pub(super) fn wrong_count(dataset: &Dataset, client: &SavedShard) -> Option<String> {
    let sides = [
        ("training", &client.train_classes, &client.train),
        ("validation", &client.validation_classes, &client.validation),
        ("test", &client.test_classes, &client.test),
    ];
    sides.into_iter().find_map(|(split, saved, indices)| {
        let saved = saved.as_ref()?;
        let held = counts(dataset, indices);
        let count = |counts: &ClassCounts, class: &String| counts.get(class).copied().unwrap_or(0);
        let mut classes = saved.keys().chain(held.keys());
        let class = classes.find(|class| count(saved, class) != count(&held, class))?;
        Some(format!(
            "{} holds {} {} images of {class:?} by its numbers, where the file counts {}: it was made with \
             another `data.protocol`, `data.limit`, `data.validation` or `data.seed`, or with other images or class names",
            client.id,
            count(&held, class),
            split,
            count(saved, class)
        ))
    })
}
