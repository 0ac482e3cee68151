//! A file of computed rows that survives a killed process.
//!
//! A [`RowJournal`] is a line of text, `flora <kind> <key>`, followed by rows of equal length. Rows are appended as
//! they are finished, so a process killed at any moment leaves the finished rows. Each row is preceded by the CRC-32 of
//! its number (8 bytes) and its bytes; all numbers are little-endian. Reading stops at the first truncated or damaged
//! row.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a checksum.
const CHECKSUM: usize = size_of::<u32>();

/// A file of rows, locked against other processes while it is open.
#[derive(Debug)]
pub struct RowJournal {
    path: PathBuf,
    file: File,
    /// The start of the first line in every journal of this kind.
    kind: String,
    /// The whole first line.
    head: String,
    /// Bytes of a row without its checksum.
    width: usize,
    rows: usize,
}

/// Contents of a journal when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Rows with the same key, or no rows yet.
    Rows {
        /// Number of rows kept.
        kept: usize,
        /// The first damaged row. It and all later rows are dropped.
        damaged: Option<usize>,
    },
    /// Rows with another key. None is kept.
    OtherKey,
    /// The file is not a journal of this kind and was left unchanged. [`RowJournal::clear`] replaces it.
    Foreign,
}

impl RowJournal {
    /// Opens or creates the journal at `path` for rows of `width` bytes; `None` if another process has it open. Creates
    /// missing parent folders. Call [`resume`](Self::resume) next.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn try_open(path: &Path, kind: &str, key: &str, width: usize) -> io::Result<Option<Self>> {
        let journal = Self::unlocked(path, kind, key, width)?;
        Ok(journal.try_lock()?.then_some(journal))
    }

    /// Like [`try_open`](Self::try_open), but waits while another process has the journal open, after calling `waiting`
    /// once. The other process may have finished and removed the journal meanwhile: check for the finished file again.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn open(
        path: &Path,
        kind: &str,
        key: &str,
        width: usize,
        waiting: impl FnOnce(),
    ) -> io::Result<Self> {
        let journal = Self::unlocked(path, kind, key, width)?;
        if !journal.try_lock()? {
            waiting();
            journal.file.lock()?;
        }
        Ok(journal)
    }

    fn unlocked(path: &Path, kind: &str, key: &str, width: usize) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let kind = format!("flora {kind} ");
        let head = format!("{kind}{key}\n");
        Ok(Self { path: path.to_owned(), file, kind, head, width, rows: 0 })
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            // Some file systems have no locks. Two processes that write the same rows to the same positions do no harm;
            // any other damage shows in the checksums.
            Err(TryLockError::Error(_)) => Ok(true),
        }
    }

    /// Reads the rows of an earlier process: at most `most` rows, until `accept` refuses one; `accept` sees them in
    /// order. Rows are kept in multiples of `step`, and the file is truncated after them.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn resume(
        &mut self,
        most: usize,
        step: usize,
        mut accept: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<Held> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(&self.file);
        let mut head = vec![0; self.head.len()];
        let length = read_up_to(&mut reader, &mut head)?;
        let head = &head[..length];
        if !head.starts_with(&self.kind.as_bytes()[..self.kind.len().min(length)]) {
            return Ok(Held::Foreign);
        }
        if *head != self.head.as_bytes()[..length] {
            self.clear()?;
            return Ok(Held::OtherKey);
        }
        let mut record = vec![0; CHECKSUM + self.width];
        let (mut whole, mut damaged) = (0, None);
        // A killed process leaves a truncated row: that is no damage.
        while whole < most && read_up_to(&mut reader, &mut record)? == record.len() {
            let (checksum, row) = record.split_at(CHECKSUM);
            if checksum != self::checksum(whole, row) {
                damaged = Some(whole);
                break;
            }
            if !accept(row) {
                break;
            }
            whole += 1;
        }
        self.rows = whole - whole % step;
        self.cut()?;
        Ok(Held::Rows { kept: self.rows, damaged })
    }

    /// Drops all rows, or any other contents of the file.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn clear(&mut self) -> io::Result<()> {
        self.rows = 0;
        self.cut()
    }

    /// Truncates the file after the last kept row and seeks there.
    fn cut(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(self.head.as_bytes())?;
        self.file.set_len(self.end())?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// File offset of the next row.
    fn end(&self) -> u64 {
        (self.head.len() + self.rows * (CHECKSUM + self.width)) as u64
    }

    /// Appends `rows`, one after the other.
    ///
    /// # Errors
    ///
    /// The operating system's error; the journal then holds none of them.
    ///
    /// # Panics
    ///
    /// Panics if `rows` is not a whole number of rows.
    pub fn append(&mut self, rows: &[u8]) -> io::Result<()> {
        assert!(rows.len().is_multiple_of(self.width), "whole rows of {} bytes", self.width);
        let count = rows.len() / self.width;
        let mut records = Vec::with_capacity(rows.len() + count * CHECKSUM);
        for (number, row) in (self.rows..).zip(rows.chunks(self.width)) {
            records.extend(checksum(number, row));
            records.extend(row);
        }
        let written = self.file.write_all(&records);
        if written.is_ok() {
            self.rows += count;
        } else {
            // After an error, such as a full disk, a partial row is useless.
            let _ = self.file.set_len(self.end());
            let _ = self.file.seek(SeekFrom::Start(self.end()));
        }
        written
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all rows, in order.
    ///
    /// # Errors
    ///
    /// The error of `each` or of the operating system, or a row that was damaged meanwhile.
    pub fn read(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(self.head.len() as u64))?;
        let mut record = vec![0; CHECKSUM + self.width];
        for number in 0..self.rows {
            reader.read_exact(&mut record)?;
            let (checksum, row) = record.split_at(CHECKSUM);
            if checksum != self::checksum(number, row) {
                let problem = format!("row {number} was damaged while the file was in use");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            each(row)?;
        }
        Ok(())
    }

    /// Removes the file once its rows are stored elsewhere. A file that cannot be removed only takes space.
    pub fn remove(self) {
        // The file is still locked: a process that waits for the lock finds the rows in their final place.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The row number is included, so that a row in the wrong position is detected.
fn checksum(number: usize, row: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&(number as u64).to_le_bytes());
    hash.update(row);
    hash.finalize().to_le_bytes()
}

/// Reads into `bytes` until it is full or the reader ends.
fn read_up_to(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match reader.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

mod rows;
#[cfg(test)]
mod tests;

pub use rows::RowFile;
