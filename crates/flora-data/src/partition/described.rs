//! A partition with what its numbers stand for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ClientShard, Partition};
use crate::{Dataset, Error, files};

/// Images by class name; classes without images are left out.
pub(super) type ClassCounts = BTreeMap<String, usize>;

/// A client as a file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedShard {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) train_classes: Option<ClassCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) test_classes: Option<ClassCounts>,
    pub(super) train: Vec<usize>,
    pub(super) test: Vec<usize>,
}

/// A [`Partition`] as it is saved with a run: each client has besides its numbers `train_classes` and
/// `test_classes`, how many training and test images of each class it holds. Made by
/// [`Partition::described`]; read back with [`Partition::load_for`] or, without a check of the counts,
/// [`Partition::load`].
#[derive(Serialize)]
pub struct DescribedPartition<'a> {
    clients: Vec<SavedShard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_groups: Option<&'a [Vec<usize>]>,
}

impl DescribedPartition<'_> {
    /// Write the partition as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        files::write_atomic(path, &serde_json::to_vec(self).expect("plain data"))
    }
}

impl Partition {
    /// The same with the classes of each client's images, to be saved.
    ///
    /// # Panics
    ///
    /// When the partition belongs to another data set; see [`check`](Partition::check).
    pub fn described(&self, dataset: &Dataset) -> DescribedPartition<'_> {
        let described = |client: &ClientShard| SavedShard {
            id: client.id.clone(),
            train_classes: Some(counts(dataset, &client.train)),
            test_classes: Some(counts(dataset, &client.test)),
            train: client.train.clone(),
            test: client.test.clone(),
        };
        DescribedPartition {
            clients: self.clients.iter().map(described).collect(),
            class_groups: self.class_groups.as_deref(),
        }
    }

    /// Write a CSV file with a line for each image of each client, and a header: `client`, `split` (`train`
    /// or `test`), `index` (the number of the image), `class` and `path`, what [`Dataset::describe`] calls
    /// the image.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    ///
    /// # Panics
    ///
    /// When the partition belongs to another data set; see [`check`](Partition::check).
    pub fn save_files(&self, path: &Path, dataset: &Dataset) -> Result<(), Error> {
        let written = flora_core::files::write_atomic_with(path, |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(["client", "split", "index", "class", "path"])?;
            for client in &self.clients {
                for (split, indices) in [("train", &client.train), ("test", &client.test)] {
                    for &i in indices {
                        let class = &dataset.classes()[dataset.label(i)];
                        let (index, place) = (i.to_string(), dataset.describe(i));
                        table.write_record([&client.id, split, &index, class, &place])?;
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
    fn from(SavedShard { id, train, test, .. }: SavedShard) -> Self {
        Self { id, train, test }
    }
}

/// The first count of a saved client that is not that of its images, as a message.
pub(super) fn wrong_count(dataset: &Dataset, client: &SavedShard) -> Option<String> {
    let sides = [
        ("training", &client.train_classes, &client.train),
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
             another `data.protocol`, `data.limit` or `data.seed`, or with other images or class names",
            client.id,
            count(&held, class),
            split,
            count(saved, class)
        ))
    })
}
