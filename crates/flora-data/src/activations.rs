//! States within an image tower: features that may be too many for memory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::journal::{Held, RowFile, RowJournal};
use flora_core::{Dtype, HostTensor, disk};

use crate::{Error, FeatureCache, FeatureKey, Features};

/// What journals of activations are called in their first line.
const KIND: &str = "activations";

/// Activations in a file of the [`FeatureCache`]: a row of numbers for each image, read when it is asked for and
/// compared with its checksum then.
#[derive(Debug)]
pub struct ActivationFile {
    rows: RowFile,
    dim: usize,
    dtype: Dtype,
}

/// Activations on their way into the cache. Finished batches are on the disk at once, where the next process finds
/// them if this one is killed. They are nowhere else: unlike [`Filling`](crate::Filling), which goes on in memory,
/// this one fails with its disk.
#[derive(Debug)]
pub struct ActivationFilling<'a> {
    cache: &'a FeatureCache,
    journal: RowJournal,
    path: PathBuf,
    dim: usize,
}

/// How activations begin.
#[derive(Debug)]
pub enum BegunActivations<'a> {
    /// With the rows of an earlier process, if there are any.
    Filling(ActivationFilling<'a>),
    /// They are all there.
    Stored(ActivationFile),
}

impl FeatureCache {
    /// The file for the activations of `key`.
    pub fn activations_path(&self, key: &FeatureKey) -> PathBuf {
        self.file("activations", key, "rows")
    }

    /// The activations of `key`, `[rows, dim]`, if all are there and whole. Where they are damaged, `warn` hears of
    /// it, and the rows before the damage are kept for [`begin_activations`](Self::begin_activations).
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub fn load_activations(
        &self,
        key: &FeatureKey,
        [rows, dim]: [usize; 2],
        warn: &mut dyn FnMut(String),
    ) -> Result<Option<ActivationFile>, Error> {
        let path = self.activations_path(key);
        match self.open_activations(key, [rows, dim]) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let path_shown = path.display();
                warn(format!("{path_shown}: {error}; what is damaged is computed again"));
                match std::fs::rename(&path, partial(&path)) {
                    // Another process found the same, and was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    renamed => renamed.map(|()| None).map_err(Error::io("rename", &path)),
                }
            }
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The bytes that the activations of `key`, `[rows, dim]`, still need on the disk, and those that are free
    /// there, where the system tells.
    pub fn room_for_activations(
        &self,
        key: &FeatureKey,
        [rows, dim]: [usize; 2],
    ) -> (u64, Option<u64>) {
        let path = self.activations_path(key);
        // All of them, or those of an earlier process.
        let there = std::fs::metadata(&path).or_else(|_| std::fs::metadata(partial(&path)));
        let there = there.map_or(0, |found| found.len());
        let (head, width) = (self.activations_head(key, dim), dim * self.dtype().size());
        let needed = RowFile::bytes(KIND, &head, width, rows);
        (needed.saturating_sub(there), disk::free_bytes(&self.dir))
    }

    /// Begin to compute the activations of `key`, `[rows, dim]`, in batches of `batch` rows. While another process
    /// computes the same, this call waits for it; `warn` hears of that. Old temporary files are removed as in
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// A folder that cannot be written.
    pub fn begin_activations(
        &self,
        key: &FeatureKey,
        [rows, dim]: [usize; 2],
        batch: usize,
        warn: &mut dyn FnMut(String),
    ) -> Result<BegunActivations<'_>, Error> {
        flora_core::files::remove_old_leftovers(&self.dir);
        let path = self.activations_path(key);
        let file = partial(&path);
        let head = self.activations_head(key, dim);
        let waiting = || {
            let file = file.display();
            warn(format!("another process computes these activations; waiting for it ({file})"));
        };
        let wrong = |error| Error::io("write", &file)(error);
        let journal = RowJournal::open(&file, KIND, &head, dim * self.dtype().size(), waiting);
        let mut journal = journal.map_err(wrong)?;
        // Whoever had the journal may be done. What is damaged is replaced at the end.
        if let Ok(Some(stored)) = self.open_activations(key, [rows, dim]) {
            journal.remove();
            return Ok(BegunActivations::Stored(stored));
        }
        if journal.resume(rows, batch, |_| true).map_err(wrong)? == Held::Foreign {
            journal.clear().map_err(wrong)?;
        }
        Ok(BegunActivations::Filling(ActivationFilling { cache: self, journal, path, dim }))
    }

    fn open_activations(
        &self,
        key: &FeatureKey,
        [rows, dim]: [usize; 2],
    ) -> std::io::Result<Option<ActivationFile>> {
        let (head, width) = (self.activations_head(key, dim), dim * self.dtype().size());
        let file = RowFile::open(&self.activations_path(key), KIND, &head, width, rows)?;
        Ok(file.map(|rows| ActivationFile { rows, dim, dtype: self.dtype() }))
    }

    fn activations_head(&self, key: &FeatureKey, dim: usize) -> String {
        format!("{} {} {dim}", key.digest(), self.dtype())
    }
}

/// Where rows are while they are not all there.
fn partial(path: &Path) -> PathBuf {
    path.with_added_extension("partial")
}

impl ActivationFilling<'_> {
    /// The number of rows that are there.
    pub fn rows(&self) -> usize {
        self.journal.rows()
    }

    /// Append the rows of a batch, rounded to the cache's type.
    ///
    /// # Errors
    ///
    /// Numbers that are not finite, or not after they are rounded; a disk that takes no more.
    pub fn append(&mut self, values: Vec<f32>) -> Result<(), Error> {
        let (_, bytes) = self.cache.round(Features { dim: self.dim, values }, self.rows())?;
        let written = self.journal.append(&bytes);
        written.map_err(Error::io("write", self.journal.path()))
    }

    /// Give the file its name, now that all rows are there.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn finish(self) -> Result<ActivationFile, Error> {
        let Self { cache, journal, path, dim } = self;
        let rows = journal.finish(&path).map_err(Error::io("write", &path))?;
        Ok(ActivationFile { rows, dim, dtype: cache.dtype() })
    }

    /// Remove what is there: an image cannot be used, and with it mended these would be the activations of another
    /// data set.
    pub fn abandon(self) {
        self.journal.remove();
    }
}

impl ActivationFile {
    pub(crate) fn rows(&self) -> usize {
        self.rows.rows()
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn gather(&self, rows: &[usize]) -> Result<Vec<f32>, Error> {
        let mut values = Vec::with_capacity(rows.len() * self.dim);
        let read = self.rows.read(rows, |bytes| {
            let row = HostTensor::from_le_bytes(self.dtype, [self.dim], bytes);
            values.extend(row.expect("a row is that wide").into_f32());
        });
        match read {
            Ok(()) => Ok(values),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(Error::Damaged {
                file: self.rows.path().to_owned(),
                problem: error.to_string(),
                remedy: "run again, and it is computed anew".into(),
            }),
            Err(error) => Err(Error::io("read", self.rows.path())(error)),
        }
    }
}
