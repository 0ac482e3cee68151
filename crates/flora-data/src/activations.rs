//! States within an image tower: features that may not fit into memory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::journal::{Held, RowFile, RowJournal};
use flora_core::{Dtype, HostTensor, disk};

use crate::{Error, FeatureCache, FeatureKey, Features};

/// The kind of activation journals, in their first line.
const KIND: &str = "activations";

/// Activations in a file of the [`FeatureCache`]: one row per image, read on request and then compared with its
/// checksum.
#[derive(Debug)]
pub struct ActivationFile {
    rows: RowFile,
    dim: usize,
    dtype: Dtype,
}

/// Activations being computed for the cache. Finished batches are written to disk at once, where the next process finds
/// them if this one is killed. They are nowhere else: unlike [`Filling`](crate::Filling), which continues in memory,
/// this one fails with its disk.
#[derive(Debug)]
pub struct ActivationFilling<'a> {
    cache: &'a FeatureCache,
    journal: RowJournal,
    path: PathBuf,
    dim: usize,
}

/// The result of starting to compute activations.
#[derive(Debug)]
pub enum BegunActivations<'a> {
    /// A filling, with the rows of an earlier process, if any.
    Filling(ActivationFilling<'a>),
    /// The complete activations.
    Stored(ActivationFile),
}

impl FeatureCache {
    /// The file for the activations of `key`.
    pub fn activations_path(&self, key: &FeatureKey) -> PathBuf {
        self.file("activations", key, "rows")
    }

    /// The activations of `key`, `[rows, dim]`, if they are complete and undamaged. If they are damaged, `warn` is
    /// called, and the rows before the damage are kept for [`begin_activations`](Self::begin_activations).
    ///
    /// # Errors
    ///
    /// An existing file that cannot be read.
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
                warn(format!("{path_shown}: {error}; damaged rows are computed again"));
                match std::fs::rename(&path, partial(&path)) {
                    // Another process found the same damage, and was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    renamed => renamed.map(|()| None).map_err(Error::io("rename", &path)),
                }
            }
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The bytes that the activations of `key`, `[rows, dim]`, still need on the disk, and the free bytes there, if the
    /// system reports them.
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

    /// Starts computing the activations of `key`, `[rows, dim]`, in batches of `batch` rows. Waits while another
    /// process computes the same ones, after calling `warn`. Old temporary files are removed as in
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
        // The process that had the journal may be done. A damaged file is replaced at the end.
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

/// The path of rows that are not complete yet.
fn partial(path: &Path) -> PathBuf {
    path.with_added_extension("partial")
}

impl ActivationFilling<'_> {
    /// Number of rows computed so far.
    pub fn rows(&self) -> usize {
        self.journal.rows()
    }

    /// Appends the rows of a batch, rounded to the cache's type.
    ///
    /// # Errors
    ///
    /// Values that are not finite, before or after rounding; a disk that is full.
    pub fn append(&mut self, values: Vec<f32>) -> Result<(), Error> {
        let (_, bytes) = self.cache.round(Features { dim: self.dim, values }, self.rows())?;
        let written = self.journal.append(&bytes);
        written.map_err(Error::io("write", self.journal.path()))
    }

    /// Renames the complete file to its final name.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn finish(self) -> Result<ActivationFile, Error> {
        let Self { cache, journal, path, dim } = self;
        let rows = journal.finish(&path).map_err(Error::io("write", &path))?;
        Ok(ActivationFile { rows, dim, dtype: cache.dtype() })
    }

    /// Removes the rows so far: an image cannot be used, and once it is repaired these would belong to another data
    /// set.
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
                remedy: "run again to compute it anew".into(),
            }),
            Err(error) => Err(Error::io("read", self.rows.path())(error)),
        }
    }
}
