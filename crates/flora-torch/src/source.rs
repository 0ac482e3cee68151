use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reader of a PyTorch file.
pub(crate) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A reader that gives access to any part through a shared reference.
///
/// It uses a lock and a seek rather than the positioned reads of the operating systems: this is portable, and the lock
/// is held for one block at a time.
pub(crate) struct Source {
    reader: Mutex<Box<dyn ReadSeek>>,
    len: u64,
}

/// A part of the file, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Source {
    pub(crate) fn new(mut reader: Box<dyn ReadSeek>) -> io::Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader: Mutex::new(reader), len })
    }

    /// Size in bytes when the file was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The reader itself. Its position is arbitrary: every user seeks first. So a panic of another thread between seek
    /// and read does no harm.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Box<dyn ReadSeek>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut reader = self.lock();
        reader.seek(SeekFrom::Start(offset))?;
        reader.read_exact(buffer)
    }

    /// The bytes of `extent`, whose length the caller has checked.
    pub(crate) fn read(&self, extent: Extent) -> io::Result<Vec<u8>> {
        let len = usize::try_from(extent.len).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(io::Error::other)?;
        bytes.resize(len, 0);
        self.read_exact_at(extent.start, &mut bytes)?;
        Ok(bytes)
    }
}
