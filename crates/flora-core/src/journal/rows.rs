//! A finished, read-only journal.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{CHECKSUM, RowJournal, checksum};

/// The rows of a complete journal, in a file of their own. Every row that is read is compared with its checksum.
#[derive(Debug)]
pub struct RowFile {
    path: PathBuf,
    file: Mutex<File>,
    /// Bytes of the first line.
    head: usize,
    width: usize,
    rows: usize,
}

impl RowJournal {
    /// Flushes all rows to the disk and renames the file to `path`. On file systems without locks, another process that
    /// computed the same rows may have created `path` first: then that file is read once and checked.
    ///
    /// # Errors
    ///
    /// The operating system's error; the journal then stays at its old path.
    pub fn finish(self, path: &Path) -> io::Result<RowFile> {
        self.file.sync_all()?;
        let Self { head, width, rows, .. } = &self;
        if let Err(error) = std::fs::rename(&self.path, path) {
            return match error.kind() {
                io::ErrorKind::NotFound => {
                    RowFile::open_headed(path, head, *width, *rows)?.ok_or(error)
                }
                _ => Err(error),
            };
        }
        // The file is opened again, because the first handle holds the writers' lock.
        let file = Mutex::new(File::open(path)?);
        Ok(RowFile { path: path.to_owned(), file, head: head.len(), width: *width, rows: *rows })
    }
}

impl RowFile {
    /// Opens a finished journal of this kind and key with `rows` rows of `width` bytes, and reads it once completely;
    /// `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// The operating system's error; an error of the kind [`InvalidData`](io::ErrorKind::InvalidData) if the file is
    /// another one or damaged.
    pub fn open(
        path: &Path,
        kind: &str,
        key: &str,
        width: usize,
        rows: usize,
    ) -> io::Result<Option<Self>> {
        Self::open_headed(path, &first_line(kind, key), width, rows)
    }

    /// Like `open`, given the first line.
    fn open_headed(path: &Path, head: &str, width: usize, rows: usize) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let record = CHECKSUM + width;
        let expected = length(head, width, rows);
        let found = file.metadata()?.len();
        if found != expected {
            return Err(damaged(format!("it has {found} bytes instead of {expected}")));
        }
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut first = vec![0; head.len()];
        reader.read_exact(&mut first)?;
        if first != head.as_bytes() {
            return Err(damaged("its first line is not the expected one".to_owned()));
        }
        let mut bytes = vec![0; record];
        for row in 0..rows {
            reader.read_exact(&mut bytes)?;
            check(row, &bytes)?;
        }
        let head = head.len();
        Ok(Some(Self { path: path.to_owned(), file: Mutex::new(file), head, width, rows }))
    }

    /// Bytes of a journal file of this kind and key with `rows` rows of `width` bytes.
    pub fn bytes(kind: &str, key: &str, width: usize, rows: usize) -> u64 {
        length(&first_line(kind, key), width, rows)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes each of `rows` to `each`, in this order.
    ///
    /// # Errors
    ///
    /// The operating system's error; an error of the kind [`InvalidData`](io::ErrorKind::InvalidData) if a row was
    /// damaged meanwhile.
    ///
    /// # Panics
    ///
    /// Panics if a row number is not below [`rows`](RowFile::rows).
    pub fn read(&self, rows: &[usize], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut bytes = vec![0; CHECKSUM + self.width];
        for &row in rows {
            assert!(row < self.rows, "row {row} of {}", self.rows);
            let start = (self.head + row * bytes.len()) as u64;
            {
                // A thread that panicked while it held the lock leaves no partial state.
                let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                file.seek(SeekFrom::Start(start))?;
                file.read_exact(&mut bytes)?;
            }
            check(row, &bytes)?;
            each(&bytes[CHECKSUM..]);
        }
        Ok(())
    }
}

fn first_line(kind: &str, key: &str) -> String {
    format!("flora {kind} {key}\n")
}

/// Bytes of a file with this first line.
fn length(head: &str, width: usize, rows: usize) -> u64 {
    head.len() as u64 + rows as u64 * (CHECKSUM + width) as u64
}

fn check(row: usize, record: &[u8]) -> io::Result<()> {
    let (expected, bytes) = record.split_at(CHECKSUM);
    match checksum(row, bytes) == expected {
        true => Ok(()),
        false => Err(damaged(format!("row {row} does not match its checksum"))),
    }
}

fn damaged(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 3;

    /// Rows 0, 1, 2 of a finished journal.
    fn finished(folder: &Path) -> RowFile {
        let journal = RowJournal::try_open(&folder.join("partial"), "kind", "key", WIDTH);
        let mut journal = journal.unwrap().unwrap();
        journal.resume(3, 1, |_| true).unwrap();
        journal.append(&[0, 1, 2, 10, 11, 12, 20, 21, 22]).unwrap();
        journal.finish(&folder.join("rows")).unwrap()
    }

    fn open(folder: &Path) -> io::Result<Option<RowFile>> {
        RowFile::open(&folder.join("rows"), "kind", "key", WIDTH, 3)
    }

    fn read(file: &RowFile, rows: &[usize]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.read(rows, |row| bytes.extend(row)).map(|()| bytes)
    }

    #[test]
    fn rows_come_in_any_order_from_this_process_and_the_next() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).unwrap().is_none());
        let first = finished(folder.path());
        assert!(!folder.path().join("partial").exists());
        let next = open(folder.path()).unwrap().unwrap();
        for file in [first, next] {
            assert_eq!(file.rows(), 3);
            assert_eq!(read(&file, &[2, 0, 2]).unwrap(), [20, 21, 22, 0, 1, 2, 20, 21, 22]);
            assert!(read(&file, &[]).unwrap().is_empty());
        }
    }

    /// Simulates a file system without locks.
    #[test]
    fn the_second_of_two_that_finish_takes_the_file_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let journal = || {
            let partial = folder.path().join("partial");
            let mut journal = RowJournal::unlocked(&partial, "kind", "key", WIDTH).unwrap();
            journal.resume(3, 1, |_| true).unwrap();
            journal
        };
        let mut journals = [journal(), journal(), journal(), journal()];
        for journal in &mut journals {
            journal.append(&[0, 1, 2, 10, 11, 12, 20, 21, 22]).unwrap();
        }
        let [first, second, third, fourth] = journals;
        for journal in [first, second] {
            let file = journal.finish(&path).unwrap();
            assert_eq!(read(&file, &[2, 0]).unwrap(), [20, 21, 22, 0, 1, 2]);
        }
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(third.finish(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fourth.finish(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = finished(folder.path());
        let path = folder.path().join("rows");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            let error = open(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}: {error}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(open(folder.path()).is_err(), "{at}");
        }
        let last = whole.len() - 1;
        let mut bytes = whole;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&file, &[0, 1]).unwrap(), [0, 1, 2, 10, 11, 12]);
        assert!(read(&file, &[0, 2]).unwrap_err().to_string().contains("row 2"));
    }

    #[test]
    fn other_keys_and_sizes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        finished(folder.path());
        let path = folder.path().join("rows");
        for (kind, key, width, rows) in [
            ("other", "key", 3, 3),
            ("kind", "abc", 3, 3),
            ("kind", "key", 4, 3),
            ("kind", "key", 3, 2),
        ] {
            assert!(
                RowFile::open(&path, kind, key, width, rows).is_err(),
                "{kind} {key} {width} {rows}"
            );
        }
    }
}
