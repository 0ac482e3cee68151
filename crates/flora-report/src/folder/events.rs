use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::Path,
};

use flora_core::hex;
use flora_federation::Event;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::read::Lines;
use crate::{ReportError, append::Appender};

/// The valid beginning of a `metrics.jsonl`: its length and its SHA-256.
///
/// A saved state holds the mark of the moment it was saved. An interrupted run has written more lines since; a process
/// that resumes from the state writes them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsMark {
    /// Length in bytes, a whole number of lines.
    pub bytes: u64,
    /// SHA-256 of these bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// A `metrics.jsonl` that is being written.
#[derive(Debug)]
pub(super) struct EventLog {
    file: Appender,
    /// The digest of all lines so far.
    digest: Sha256,
}

impl EventLog {
    /// An empty log, which replaces any file at `path`.
    pub(super) fn create(path: &Path) -> Result<Self, ReportError> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .map_err(ReportError::io("create", path))?;
        Ok(Self { file: Appender::new(file, path.to_owned(), 0)?, digest: Sha256::new() })
    }

    /// An earlier log, up to `mark`.
    ///
    /// # Errors
    /// [`ReportError::EventsChanged`], with the file untouched; [`ReportError::Io`].
    pub(super) fn resume(path: &Path, mark: &EventsMark) -> Result<Self, ReportError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(ReportError::io("open", path))?;
        let (bytes, digest) =
            digest(&mut file, mark.bytes).map_err(ReportError::io("read", path))?;
        let changed =
            |problem: String| ReportError::EventsChanged { path: path.to_owned(), problem };
        if bytes < mark.bytes {
            return Err(changed(format!(
                "it has {bytes} bytes, but had {} when the state was saved",
                mark.bytes
            )));
        }
        if hex::encode(&digest.clone().finalize()) != mark.sha256 {
            return Err(changed(format!(
                "its first {} bytes have changed since the state was saved",
                mark.bytes
            )));
        }
        Ok(Self { file: Appender::new(file, path.to_owned(), mark.bytes)?, digest })
    }

    /// Appends the event as a line.
    pub(super) fn record(&mut self, event: &Event) -> Result<(), ReportError> {
        let mut line = serde_json::to_vec(event).map_err(|source| ReportError::Json {
            path: self.file.path().to_owned(),
            line: None,
            source,
        })?;
        line.push(b'\n');
        self.file.append(&line)?;
        self.digest.update(&line);
        Ok(())
    }

    /// Syncs the file, and marks where it ends.
    pub(super) fn mark(&mut self) -> Result<EventsMark, ReportError> {
        self.file.sync()?;
        let sha256 = hex::encode(&self.digest.clone().finalize());
        Ok(EventsMark { bytes: self.file.bytes(), sha256 })
    }
}

/// The digest of the file's first `most` bytes, and their actual number.
fn digest(file: &mut File, most: u64) -> io::Result<(u64, Sha256)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut file = file.take(most);
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, digest)),
            Ok(read) => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a `metrics.jsonl`. An incomplete last line, from a run that was killed while writing it, is ignored.
///
/// # Errors
/// [`ReportError::Io`], also for a file that is not regular or has a line of more than 256 MiB, and
/// [`ReportError::Json`] which names the line.
pub fn read_events(path: impl AsRef<Path>) -> Result<Vec<Event>, ReportError> {
    let path = path.as_ref();
    let io = |error| ReportError::io("read", path)(error);
    let mut lines = Lines::open(path).map_err(io)?;
    let mut events = Vec::new();
    while let Some(line) = lines.next().map_err(io)? {
        events.push(serde_json::from_slice(line).map_err(|source| ReportError::Json {
            path: path.to_owned(),
            line: Some(events.len() + 1),
            source,
        })?);
    }
    Ok(events)
}
