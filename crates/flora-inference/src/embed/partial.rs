//! The rows so far: a line with the key of model and options; then, for each row, the hash of its item
//! and its values, little-endian.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Format;
use crate::InferenceError;

/// How the first line begins: what begins otherwise is not ours to replace.
const HEAD: &str = "flora embeddings ";

pub(super) struct Partial<'a> {
    path: PathBuf,
    file: File,
    /// Bytes of the first line.
    head: u64,
    dim: usize,
    hashes: &'a [[u8; 8]],
    rows: usize,
}

impl<'a> Partial<'a> {
    /// The file beside `target`, with the rows of an earlier call as far as its items are those of
    /// `hashes`.
    pub(super) fn open(
        target: &Path,
        key: &str,
        dim: usize,
        hashes: &'a [[u8; 8]],
    ) -> Result<Self, InferenceError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(InferenceError::write(folder))?;
        }
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(InferenceError::write(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem =
                    "another call is writing it; wait for that one, or name another --out";
                return Err(InferenceError::file(&path, problem));
            }
            // Some file systems have no locks.
            Err(TryLockError::Error(_)) => {}
        }
        let head = format!("{HEAD}{key}\n");
        let mut partial = Self { path, file, head: head.len() as u64, dim, hashes, rows: 0 };
        let kept = partial.kept_rows(&head).map_err(InferenceError::read(&partial.path))?;
        let Some(kept) = kept else {
            let problem = "there already, and no partial result of flora; move it away";
            return Err(InferenceError::file(&partial.path, problem));
        };
        partial.rows = kept;
        partial.truncate(&head).map_err(InferenceError::write(&partial.path))?;
        Ok(partial)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows of an earlier call are of use; `None` if the file is not one of flora's.
    fn kept_rows(&mut self, head: &str) -> io::Result<Option<usize>> {
        let mut reader = BufReader::new(&self.file);
        let mut line = vec![0; head.len()];
        let length = read_up_to(&mut reader, &mut line)?;
        if !line[..length].starts_with(&HEAD.as_bytes()[..HEAD.len().min(length)]) {
            return Ok(None);
        }
        if line[..length] != *head.as_bytes() {
            return Ok(Some(0));
        }
        let mut row = vec![0; 8 + 4 * self.dim];
        let mut rows = 0;
        for hash in self.hashes {
            // A row that was cut off is computed again.
            if read_up_to(&mut reader, &mut row)? < row.len() || row[..8] != *hash {
                break;
            }
            rows += 1;
        }
        Ok(Some(rows))
    }

    /// Cut off what is of no use.
    fn truncate(&mut self, head: &str) -> io::Result<()> {
        let row = 8 + 4 * self.dim as u64;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(head.as_bytes())?;
        self.file.set_len(self.head + self.rows as u64 * row)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Append whole rows.
    pub(super) fn append(&mut self, values: &[f32]) -> Result<(), InferenceError> {
        let mut bytes = Vec::with_capacity(values.len() * 4 + values.len() / self.dim * 8);
        for row in values.chunks(self.dim) {
            bytes.extend(self.hashes[self.rows]);
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            self.rows += 1;
        }
        self.file.write_all(&bytes).map_err(InferenceError::write(&self.path))
    }

    /// Write the target, and remove this file.
    pub(super) fn finish(self, target: &Path, format: Format) -> Result<(), InferenceError> {
        let written = flora_core::files::write_atomic_with(target, |out| {
            let mut reader = BufReader::new(&self.file);
            reader.seek(SeekFrom::Start(self.head))?;
            format.write_head(out, [self.rows, self.dim])?;
            let mut row = vec![0; 8 + 4 * self.dim];
            for _ in 0..self.rows {
                reader.read_exact(&mut row)?;
                out.write_all(&row[8..])?;
            }
            Ok(())
        });
        written.map_err(InferenceError::write(target))?;
        // The target is whole; a file that cannot be removed only takes room.
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }
}

/// Fill `bytes` as far as there is anything to read.
fn read_up_to(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match reader.read(&mut bytes[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}
