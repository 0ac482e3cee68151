use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::ReportError;

/// A file that grows by whole records.
///
/// After the first failure, nothing more is written, because nobody would notice a record that is missing in the
/// middle. Every later call returns the same error.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
    path: PathBuf,
    /// Length of the file up to its last complete record.
    bytes: u64,
    failed: Option<Failure>,
}

/// An [`io::Error`] that can be returned more than once.
#[derive(Debug, Clone)]
struct Failure {
    action: &'static str,
    kind: io::ErrorKind,
    message: String,
}

impl Appender {
    /// Opens `file` at `path` for appending after its first `bytes` bytes; the rest is cut off.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub(crate) fn new(mut file: File, path: PathBuf, bytes: u64) -> Result<Self, ReportError> {
        // A device or a pipe in place of the file has no length to set.
        let cut = || match file.metadata()?.len() == bytes {
            true => Ok(()),
            false => file.set_len(bytes),
        };
        cut().map_err(ReportError::io("cut", &path))?;
        file.seek(SeekFrom::Start(bytes)).map_err(ReportError::io("write to", &path))?;
        Ok(Self { file, path, bytes, failed: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a record. Afterwards the file contains all of it or, provided that the file can be cut back, nothing.
    ///
    /// # Errors
    /// [`ReportError::Io`], and the same again after the first one.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), ReportError> {
        self.check()?;
        if let Err(error) = self.file.write_all(record) {
            // If the disk is full, half of the record may have been written.
            let _ = self.file.set_len(self.bytes);
            return Err(self.fail("append to", &error));
        }
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    /// As [`Appender::append`]. A failed sync also counts, because the next one may succeed although pages were lost.
    pub(crate) fn sync(&mut self) -> Result<(), ReportError> {
        self.check()?;
        self.file.sync_data().map_err(|error| self.fail("sync", &error))
    }

    fn check(&self) -> Result<(), ReportError> {
        self.failed.as_ref().map_or(Ok(()), |failure| Err(self.error(failure)))
    }

    fn fail(&mut self, action: &'static str, error: &io::Error) -> ReportError {
        let failure = Failure { action, kind: error.kind(), message: error.to_string() };
        let error = self.error(&failure);
        self.failed = Some(failure);
        error
    }

    fn error(&self, failure: &Failure) -> ReportError {
        let source = io::Error::new(failure.kind, failure.message.clone());
        ReportError::io(failure.action, &self.path)(source)
    }
}
