//! Computing image features for the cache.

use std::path::PathBuf;

use flora_core::HostTensor;
use flora_core::journal::{Held, RowJournal};

use crate::{Error, FeatureCache, FeatureFile, FeatureKey, FeatureRows, Features, Lookup};

mod aside;

/// The kind of image feature journals, in their first line.
const KIND: &str = "image-features";

/// Features that are computed batch by batch. Each finished batch is written to a journal beside the cache's file, from
/// which another process can continue if this one is killed. Problems with the journal are warnings: rows are then in
/// memory only.
#[derive(Debug)]
pub struct Filling<'a> {
    cache: &'a FeatureCache,
    key: &'a FeatureKey,
    features: Features,
    journal: Option<RowJournal>,
    /// Rows per batch.
    batch: usize,
    /// The journal of rows that were set aside, once taken.
    aside: Option<RowJournal>,
}

/// The result of starting to compute features.
#[derive(Debug)]
pub enum Begun<'a> {
    /// A filling, with the rows of an earlier process, if any.
    Filling(Filling<'a>),
    /// The features: another process stored them while this one waited.
    Stored(FeatureFile),
}

impl FeatureCache {
    /// Starts computing the features of `key`, `[rows, dim]`, in batches of `batch` rows. Rows of an earlier process
    /// are kept in whole batches, so that batches begin at the same rows.
    ///
    /// Temporary files that killed processes left in the cache's folder are removed after a day.
    ///
    /// Waits while another process computes the same features, because computing them twice would take longer. `warn`
    /// is called in that case, and for all problems that cost time without affecting the result.
    pub fn begin<'a>(
        &'a self,
        key: &'a FeatureKey,
        [rows, dim]: [usize; 2],
        batch: usize,
        warn: &mut dyn FnMut(String),
    ) -> Begun<'a> {
        let mut filling = Filling {
            cache: self,
            key,
            features: Features { dim, values: Vec::new() },
            journal: None,
            batch,
            aside: None,
        };
        flora_core::files::remove_old_leftovers(&self.dir);
        let path = self.journal(key);
        let head = self.head(key, dim, batch);
        let waiting = || {
            let path = path.display();
            warn(format!("another process computes these image features; waiting for it ({path})"));
        };
        let width = dim * self.dtype().size();
        let journal = RowJournal::open(&path, KIND, &head, width, waiting);
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                warn(not_kept(&Error::io("write", &path)(error)));
                return Begun::Filling(filling);
            }
        };
        // The process that had the journal may be done.
        if let Ok(Lookup::Hit(file)) = self.load(key, rows) {
            journal.remove();
            return Begun::Stored(file);
        }
        if let Err(error) = filling.resume(journal, rows, batch, warn) {
            filling.features.values.clear();
            warn(not_kept(&Error::io("read", &path)(error)));
        }
        Begun::Filling(filling)
    }

    /// The first line of a journal for `key`.
    pub(crate) fn head(&self, key: &FeatureKey, dim: usize, batch: usize) -> String {
        format!("{} {} {dim} {batch}", key.digest(), self.dtype())
    }

    /// The path of rows that are not complete yet.
    fn journal(&self, key: &FeatureKey) -> PathBuf {
        self.path(key).with_added_extension("partial")
    }
}

fn not_kept(error: &Error) -> String {
    format!("image features are in memory only while they are computed: {error}")
}

impl Filling<'_> {
    /// Reads the rows of an earlier process from the journal.
    fn resume(
        &mut self,
        mut journal: RowJournal,
        rows: usize,
        batch: usize,
        warn: &mut dyn FnMut(String),
    ) -> std::io::Result<()> {
        let (dim, dtype) = (self.features.dim, self.cache.dtype());
        let values = &mut self.features.values;
        let held = journal.resume(rows, batch, |row| {
            let row = HostTensor::from_le_bytes(dtype, [dim], row).expect("a row is that wide");
            values.extend(row.into_f32());
            true
        })?;
        values.truncate(journal.rows() * dim);
        let path = journal.path().display();
        match held {
            Held::Rows { kept, damaged: Some(row) } => warn(format!(
                "{path}: {kept} rows kept, row {row} was damaged; the others are computed again"
            )),
            // The name contains the key: no other program puts a file there.
            Held::OtherKey | Held::Foreign => warn(format!(
                "{path}: its first line is damaged or of another version; all rows are computed again"
            )),
            Held::Rows { damaged: None, .. } => {}
        }
        if held == Held::Foreign {
            journal.clear()?;
        }
        self.journal = Some(journal);
        Ok(())
    }

    /// Number of rows computed so far.
    pub fn rows(&self) -> usize {
        self.features.len()
    }

    /// Appends the rows of a batch, rounded to the cache's type.
    ///
    /// # Errors
    ///
    /// [`Error::Features`] if they are not whole rows of finite values.
    pub fn append(&mut self, values: Vec<f32>, warn: &mut dyn FnMut(String)) -> Result<(), Error> {
        let rows = Features { dim: self.features.dim, values };
        let (rows, bytes) = self.cache.round(rows, self.rows())?;
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(&bytes)
        {
            let path = journal.path().to_owned();
            warn(not_kept(&Error::io("write", &path)(error)));
            self.journal = None;
        }
        self.features.values.extend(rows.values);
        Ok(())
    }

    /// Stores the complete features and removes the journal. If they cannot be stored, they stay in memory, and rows in
    /// the journal stay there.
    ///
    /// # Errors
    ///
    /// [`Error::Features`], as in [`append`](Self::append).
    pub fn finish(self, warn: &mut dyn FnMut(String)) -> Result<FeatureRows, Error> {
        match self.cache.store(self.key, &self.features) {
            Ok(file) => {
                self.journal.into_iter().chain(self.aside).for_each(RowJournal::remove);
                Ok(FeatureRows::File(file))
            }
            // The disk is not the cause: such features are unusable.
            Err(error @ Error::Features { .. }) => Err(error),
            Err(error) => {
                warn(format!("image features are not stored for the next run: {error}"));
                Ok(self.features.into())
            }
        }
    }
}
