use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::ReportError;

/// A file that grows by whole records.
///
/// After the first failure nothing is written any more: a record that is missing in the middle would be noticed by
/// nobody. The reason is kept, and every later call gives it again.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
    path: PathBuf,
    /// Length of the file up to its last whole record.
    bytes: u64,
    failed: Option<Failure>,
}

/// An [`io::Error`] that can be told more than once.
#[derive(Debug, Clone)]
struct Failure {
    action: &'static str,
    kind: io::ErrorKind,
    message: String,
}

impl Appender {
    /// Appends to the first `bytes` bytes of `file`, which lies at `path`; what follows them is cut off.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub(crate) fn new(mut file: File, path: PathBuf, bytes: u64) -> Result<Self, ReportError> {
        // A device or a pipe in the file's place has no length to set, and none that differs.
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

    /// Appends a record. Either all of it is in the file afterwards, or nothing, if the file can be cut back.
    ///
    /// # Errors
    /// [`ReportError::Io`], and the same again after the first one.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), ReportError> {
        self.check()?;
        if let Err(error) = self.file.write_all(record) {
            // The disk is full: half of the record may be there.
            let _ = self.file.set_len(self.bytes);
            return Err(self.fail("append to", &error));
        }
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    /// As [`Appender::append`]. A failed sync counts, too: the next one may succeed although pages were lost.
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
