//! Rows that outlive the images behind them.
//!
//! A damaged image ends a filling, and once it is mended or removed, the data set is another one and so is the key
//! of its features. The rows before it stay right: they are set aside under the key that a data set of those images
//! alone would have.

use std::path::PathBuf;

use flora_core::journal::{Held, RowJournal};

use super::{Filling, KIND};
use crate::{Error, FeatureCache, FeatureKey};

/// Between the name of a cache's file and the number of the rows.
const FIRST: &str = ".first-";
const PARTIAL: &str = ".partial";

impl FeatureCache {
    /// Where the first `rows` rows are set aside; `key` is that of their images alone.
    fn aside(&self, key: &FeatureKey, rows: usize) -> PathBuf {
        let mut path = self.path(key).into_os_string();
        path.push(format!("{FIRST}{rows}{PARTIAL}"));
        path.into()
    }

    /// How many rows were set aside, in each of the files that there are; most first.
    fn set_aside(&self) -> Vec<usize> {
        let rows = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.rsplit_once(FIRST)?.1.strip_suffix(PARTIAL)?.parse().ok()
        };
        // No folder, no rows.
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten();
        let mut found: Vec<usize> = entries.filter_map(|entry| rows(entry.ok()?)).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found
    }
}

impl Filling<'_> {
    /// Set the rows aside, because an image among the others cannot be read. `key` is that of the features of
    /// the images behind these rows alone. Where they lie; `None` where there are none, or no place for them.
    pub fn set_aside(mut self, key: &FeatureKey, warn: &mut dyn FnMut(String)) -> Option<PathBuf> {
        let rows = self.rows();
        let path = self.cache.aside(key, rows);
        // What was taken is closed first: it may be the same file, and is locked.
        let before = self.aside.take().map(|journal| journal.path().to_owned());
        if rows == 0 {
            self.journal.into_iter().for_each(RowJournal::remove);
            return None;
        }
        let dim = self.features.dim;
        let (head, bytes) =
            (self.cache.head(key, dim, self.batch), self.cache.bytes(self.features.values));
        let width = dim * self.cache.dtype().size();
        let written = RowJournal::try_open(&path, KIND, &head, width).and_then(|journal| {
            // Another process that has it writes the same rows.
            let Some(mut journal) = journal else { return Ok(()) };
            journal.clear()?;
            journal.append(&bytes)
        });
        if let Err(error) = written {
            warn(format!("the features so far are not kept: {}", Error::io("write", &path)(error)));
            return None;
        }
        self.journal.into_iter().for_each(RowJournal::remove);
        if let Some(before) = before.filter(|before| *before != path) {
            let _ = std::fs::remove_file(before);
        }
        Some(path)
    }

    /// Take the rows that an earlier call set aside, if its images are the first ones of this filling, too.
    /// `key` gives that of the features of the first images alone.
    ///
    /// # Errors
    ///
    /// What `key` returns.
    pub fn take_aside<E>(
        &mut self,
        rows: usize,
        mut key: impl FnMut(usize) -> Result<FeatureKey, E>,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), E> {
        for count in self.cache.set_aside() {
            if count > rows || !count.is_multiple_of(self.batch) {
                continue;
            }
            let key = key(count)?;
            let path = self.cache.aside(&key, count);
            if !path.is_file() {
                continue;
            }
            let (dim, dtype) = (self.features.dim, self.cache.dtype());
            let (head, width) = (self.cache.head(&key, dim, self.batch), dim * dtype.size());
            // Whoever has it makes use of it.
            let Ok(Some(mut journal)) = RowJournal::try_open(&path, KIND, &head, width) else {
                continue;
            };
            if self.rows() < count && !self.adopt(&mut journal, count, warn) {
                continue;
            }
            self.aside = Some(journal);
            break;
        }
        Ok(())
    }

    /// Append the rows of a journal to those that are there; whether there were any.
    fn adopt(
        &mut self,
        journal: &mut RowJournal,
        count: usize,
        warn: &mut dyn FnMut(String),
    ) -> bool {
        let (dim, dtype) = (self.features.dim, self.cache.dtype());
        let mut values = Vec::new();
        let held = journal.resume(count, self.batch, |row| {
            let row = flora_core::HostTensor::from_le_bytes(dtype, [dim], row);
            values.extend(row.expect("a row is that wide").into_f32());
            true
        });
        values.truncate(journal.rows() * dim);
        let there = self.features.values.len();
        match held {
            Ok(Held::Rows { .. }) if values.len() > there => {
                self.append(values.split_off(there), warn).is_ok()
            }
            _ => false,
        }
    }
}
