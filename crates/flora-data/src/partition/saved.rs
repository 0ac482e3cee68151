//! Partitions on disk.

use std::collections::BTreeSet;
use std::path::Path;

use super::Partition;
use crate::{Dataset, Error, Split, files};

impl Partition {
    /// Check that a loaded partition fits `dataset`: all samples exist, on the right side of the split, and
    /// none twice for one client; clients have different ids, and somebody trains; groups of classes, if
    /// there are any, hold every class once.
    ///
    /// What it cannot see is another choice of as many samples: load a partition with the protocol, the
    /// limit and, if there is a limit, the seed that it was made with.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignPartition`], naming the client.
    pub fn check(&self, dataset: &Dataset) -> Result<(), Error> {
        self.misfit(dataset).map_or(Ok(()), |problem| {
            Err(Error::ForeignPartition { dataset: dataset.name().to_owned(), problem })
        })
    }

    /// What does not fit.
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
            for (indices, split) in [(&client.train, Split::Train), (&client.test, Split::Test)] {
                for &i in indices {
                    if i >= dataset.len() || dataset.split(i) != split {
                        let name = format!("{split:?}");
                        return Some(format!(
                            "sample {i} of {id} is not one of its {name} samples"
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
