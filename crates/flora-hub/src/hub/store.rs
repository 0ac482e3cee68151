//! Storing files in the cache; see [`crate::cache`] for its layout.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::HubError;

/// Takes the lock at `path`, which Python's `huggingface_hub` takes as well, and holds it until the file is dropped;
/// `None` if another process still holds it after `patience`.
pub(super) fn lock(path: &Path, patience: Duration) -> Result<Option<File>, HubError> {
    make_parent(path)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| disk(path, error))?;
    let deadline = Instant::now() + patience;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(100));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some network file systems have no locks; then none is needed.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Some(lock));
            }
            Err(TryLockError::Error(error)) => return Err(disk(path, error)),
        }
    }
}

/// Whether there is a file of this size.
pub(super) fn is_whole(path: &Path, size: Option<u64>) -> bool {
    fs::metadata(path)
        .is_ok_and(|file| file.is_file() && size.is_none_or(|size| file.len() == size))
}

pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(|error| disk(parent, error)),
        None => Ok(()),
    }
}

/// Makes `pointer` the name of `blob` in a snapshot.
pub(super) fn link(blob: &Path, pointer: &Path) -> io::Result<()> {
    // A dangling link, or one to a wrong blob, exists all the same.
    match fs::remove_file(pointer) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    {
        // Relative, so that the cache can be moved: snapshots/<commit>/<file> to blobs/<etag>.
        let target = Path::new("../../blobs").join(blob.file_name().unwrap_or_default());
        std::os::unix::fs::symlink(target, pointer)
    }
    #[cfg(not(unix))]
    {
        // Symbolic links need a privilege there.
        fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(|_| ()))
    }
}

pub(super) fn disk(path: &Path, error: io::Error) -> HubError {
    HubError::Disk { path: path.to_owned(), error }
}
