//! Reusing rows after the set of images changes.
//!
//! A damaged image ends a filling. Once it is repaired or removed, the data set and the key of its features differ. The
//! rows before it stay valid: they are set aside under the key of a data set of those images alone.

use std::path::PathBuf;

use flora_core::journal::{Held, RowJournal};

use super::{Filling, KIND};
use crate::{Error, FeatureCache, FeatureKey};

/// Between the name of a cache file and the number of rows.
const FIRST: &str = ".first-";
const PARTIAL: &str = ".partial";

impl FeatureCache {
    /// The path for the first `rows` rows; `key` is that of their images alone.
    fn aside(&self, key: &FeatureKey, rows: usize) -> PathBuf {
        let mut path = self.path(key).into_os_string();
        path.push(format!("{FIRST}{rows}{PARTIAL}"));
        path.into()
    }

    /// The numbers of rows in existing files of rows set aside; largest first.
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
    /// Sets the rows aside, because an image among the others cannot be read. `key` is that of the features of these
    /// rows' images alone. Returns the path; `None` if there are no rows, or if they cannot be written.
    pub fn set_aside(mut self, key: &FeatureKey, warn: &mut dyn FnMut(String)) -> Option<PathBuf> {
        let rows = self.rows();
        let path = self.cache.aside(key, rows);
        // The taken journal is closed first: it may be the same file, and is locked.
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

    /// Takes rows that an earlier call set aside, if its images are the first ones of this filling. `key` returns the
    /// key of the features of the first images alone.
    ///
    /// # Errors
    ///
    /// The errors of `key`.
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
            // Another process that has it uses it.
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

    /// Appends the rows of a journal to the existing ones; returns whether there were any.
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
