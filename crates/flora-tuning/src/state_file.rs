//! Bytes of many clients in one temporary file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// A place gets room for a multiple of this, so that what grows by a few bytes (a number of steps is
/// written in as few as it takes) stays where it is.
const ROOM: usize = 512;

/// A file without a name: the system removes it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct StateFile(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    end: u64,
}

/// Where something lies in a [`StateFile`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    offset: u64,
    len: usize,
    room: usize,
}

impl StateFile {
    /// An empty file in `folder`, which is made if it is not there; in the system's folder of temporary
    /// files if that is not possible, or no folder is named.
    pub(crate) fn create(folder: Option<&Path>) -> io::Result<Self> {
        // The system's folder is in memory on some systems, and files there would save nothing.
        let inside = |folder: &Path| {
            std::fs::create_dir_all(folder)?;
            tempfile::tempfile_in(folder)
        };
        let file = folder.and_then(|folder| inside(folder).ok());
        let file = file.map_or_else(tempfile::tempfile, Ok)?;
        Ok(Self(Mutex::new(Inner { file, end: 0 })))
    }

    /// Write `bytes` in the place of what is at `earlier`, if they fit there, else at the end.
    pub(crate) fn write(&self, earlier: Option<Span>, bytes: &[u8]) -> io::Result<Span> {
        let mut inner = self.lock();
        let len = bytes.len();
        let span = match earlier.filter(|span| len <= span.room) {
            Some(span) => Span { len, ..span },
            None => Span { offset: inner.end, len, room: len.next_multiple_of(ROOM) },
        };
        inner.file.seek(SeekFrom::Start(span.offset))?;
        inner.file.write_all(bytes)?;
        inner.end = inner.end.max(span.offset + span.room as u64);
        Ok(span)
    }

    /// What was written there last.
    pub(crate) fn read(&self, span: Span) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; span.len];
        let mut inner = self.lock();
        inner.file.seek(SeekFrom::Start(span.offset))?;
        inner.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every call seeks first: one that was cut short leaves nothing to mind.
        self.0.lock().unwrap_or_else(|error| error.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::create(Some(&folder.path().join("not/there/yet"))).unwrap();
        let first = file.write(None, &[1; 700]).unwrap();
        let second = file.write(None, &[2; 10]).unwrap();
        assert_eq!(file.read(first).unwrap(), [1; 700]);
        assert_eq!(file.read(second).unwrap(), [2; 10]);

        // In its place while there is room, elsewhere when there is none, and never over the neighbour.
        let grown = file.write(Some(first), &[3; 1024]).unwrap();
        assert_eq!(grown.offset, first.offset);
        let moved = file.write(Some(grown), &[4; 1025]).unwrap();
        assert_ne!(moved.offset, first.offset);
        let shrunk = file.write(Some(moved), &[5; 3]).unwrap();
        assert_eq!((shrunk.offset, shrunk.room), (moved.offset, moved.room));
        assert_eq!(file.read(shrunk).unwrap(), [5; 3]);
        assert_eq!(file.read(second).unwrap(), [2; 10]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        std::fs::write(&taken, "").unwrap();
        let file = StateFile::create(Some(&taken)).unwrap();
        let span = file.write(None, b"state").unwrap();
        assert_eq!(file.read(span).unwrap(), b"state");
    }

    #[test]
    fn nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::create(Some(folder.path())).unwrap();
        file.write(None, b"state").unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
