//! Rows that are kept in a file while they are computed.
//!
//! A [`RowJournal`] is a line of text, `flora <kind> <key>`, followed by rows of equal length. Rows are
//! appended as they are finished, so a process that is killed at any moment leaves those it had. In front
//! of each row lies the CRC-32 of its number (8 bytes) and its bytes; all numbers are little-endian. A row
//! that was cut off or damaged ends what is taken from the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a checksum.
const CHECKSUM: usize = size_of::<u32>();

/// A file of rows, locked against other processes as long as it is open.
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

/// What a journal held when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Rows of the same key, or nothing yet.
    Rows {
        /// The rows that are kept.
        kept: usize,
        /// The first damaged row. It and those after it are dropped.
        damaged: Option<usize>,
    },
    /// Rows of another key. None is kept.
    OtherKey,
    /// The file is not a journal of this kind, and was left alone. [`RowJournal::clear`] replaces it.
    Foreign,
}

impl RowJournal {
    /// Open or create the journal at `path` for rows of `width` bytes; `None` if another process has it
    /// open. Missing parent folders are made. Follow with [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn try_open(path: &Path, kind: &str, key: &str, width: usize) -> io::Result<Option<Self>> {
        let journal = Self::unlocked(path, kind, key, width)?;
        Ok(journal.try_lock()?.then_some(journal))
    }

    /// As [`try_open`](Self::try_open), but wait while another process has it open; `waiting` is called
    /// first. That process may have removed the journal meanwhile, because its rows are where they
    /// belong: look there again.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
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
            // Some file systems have no locks. Two processes that write the same rows to the same places
            // do no harm, and whatever else they do to each other shows in the checksums.
            Err(TryLockError::Error(_)) => Ok(true),
        }
    }

    /// Take what an earlier process left, at most `most` rows and as far as `accept` says; `accept` sees
    /// them in order. Rows are kept in multiples of `step`, and the file is cut off behind them.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
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
        // A record that was cut off is what a killed process leaves: no damage.
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

    /// Drop all rows, or whatever else the file holds.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn clear(&mut self) -> io::Result<()> {
        self.rows = 0;
        self.cut()
    }

    /// Cut off what lies behind the rows that count, and go there.
    fn cut(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(self.head.as_bytes())?;
        self.file.set_len(self.end())?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Where the next row goes.
    fn end(&self) -> u64 {
        (self.head.len() + self.rows * (CHECKSUM + self.width)) as u64
    }

    /// Append `rows`, one after the other.
    ///
    /// # Errors
    ///
    /// What the operating system reports; the journal then holds none of them.
    ///
    /// # Panics
    ///
    /// Panics if these are not whole rows.
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
            // On a full disk: half a row is of no use to anybody.
            let _ = self.file.set_len(self.end());
            let _ = self.file.seek(SeekFrom::Start(self.end()));
        }
        written
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Read all rows, in order.
    ///
    /// # Errors
    ///
    /// What `each` returns or the operating system reports, and a row that was damaged meanwhile.
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

    /// Remove the file, when its rows are where they belong. One that cannot be removed only takes room.
    pub fn remove(self) {
        // Still locked: whoever waits for it finds the rows in their place.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The number is in it, so that a row in another's place shows.
fn checksum(number: usize, row: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&(number as u64).to_le_bytes());
    hash.update(row);
    hash.finalize().to_le_bytes()
}

/// Fill `bytes` as far as there is anything to read.
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
