//! The finished rows, in a [`RowJournal`]: for each the hash of its item, and its values.

use std::io;
use std::path::{Path, PathBuf};

use flora_core::journal::{Held, RowJournal};

use super::Format;
use crate::InferenceError;

/// Bytes of the hash of an item.
const HASH: usize = 8;

pub(super) struct Partial<'a> {
    journal: RowJournal,
    dim: usize,
    hashes: &'a [[u8; HASH]],
}

impl<'a> Partial<'a> {
    /// Opens the file beside `target`. Rows of an earlier call are kept in whole batches of `batch` rows, as long as
    /// its items match `hashes`. Also returns a warning if rows are lost.
    pub(super) fn open(
        target: &Path,
        key: &str,
        dim: usize,
        hashes: &'a [[u8; HASH]],
        batch: usize,
    ) -> Result<(Self, Option<String>), InferenceError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let journal = RowJournal::try_open(&path, "embeddings", key, HASH + 4 * dim);
        let Some(mut journal) = journal.map_err(InferenceError::write(&path))? else {
            let problem = "another call is writing it; wait for that one, or name another --out";
            return Err(InferenceError::file(&path, problem));
        };
        let mut expected = hashes.iter();
        let held = journal.resume(hashes.len(), batch, |row| {
            expected.next().is_some_and(|hash| row[..HASH] == *hash)
        });
        let warning = match held.map_err(InferenceError::write(&path))? {
            Held::Foreign => {
                let problem = "exists, and is not a partial result of flora; move it away";
                return Err(InferenceError::file(&path, problem));
            }
            Held::OtherKey => Some(
                "made with another model, other options or another version of flora; all rows are \
                 computed again"
                    .to_owned(),
            ),
            Held::Rows { kept, damaged: Some(row) } => Some(format!(
                "{kept} rows kept, row {row} was damaged; the others are computed again"
            )),
            Held::Rows { damaged: None, .. } => None,
        };
        let warning = warning.map(|problem| format!("{}: {problem}", path.display()));
        Ok((Self { journal, dim, hashes }, warning))
    }

    pub(super) fn rows(&self) -> usize {
        self.journal.rows()
    }

    pub(super) fn path(&self) -> &Path {
        self.journal.path()
    }

    /// Appends whole rows.
    pub(super) fn append(&mut self, values: &[f32]) -> Result<(), InferenceError> {
        let mut bytes = Vec::with_capacity(values.len() * 4 + values.len() / self.dim * HASH);
        for (hash, row) in self.hashes[self.rows()..].iter().zip(values.chunks(self.dim)) {
            bytes.extend(hash);
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        }
        self.journal.append(&bytes).map_err(InferenceError::write(self.journal.path()))
    }

    /// Writes the target, and removes this file.
    pub(super) fn finish(self, target: &Path, format: Format) -> Result<(), InferenceError> {
        let written = flora_core::files::write_atomic_with(target, |out| {
            format.write_head(out, [self.rows(), self.dim])?;
            self.journal.read(|row| out.write_all(&row[HASH..]))
        });
        written.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let problem = format!("{error}; the same call computes it again");
                InferenceError::file(self.path(), problem)
            }
            _ => InferenceError::write(target)(error),
        })?;
        self.journal.remove();
        Ok(())
    }
}
