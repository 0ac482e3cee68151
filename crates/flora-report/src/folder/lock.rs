use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
    thread::sleep,
    time::Duration,
};

use super::read;
use crate::ReportError;

/// The file whose lock shows that a process is writing to the folder. It is never removed: if it were, a second process
/// could hold the lock of the removed file while a third one locks a new file of the same name.
pub(super) const LOCK: &str = "run.lock";

/// A check of the lock ([`is_locked`]) holds it for a moment, and a killed process holds it until its memory is freed,
/// which may take a second. Neither may cause the next run to be refused.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a run folder. The system releases it when the last handle of the file is closed, however the process
/// ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks the folder. On a file system without locks, the run continues without one.
    ///
    /// # Errors
    /// [`ReportError::Locked`] and [`ReportError::Io`].
    pub fn acquire(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join(LOCK);
        // Opening a named pipe would wait for a reader.
        if let Err(error) = read::open(&path)
            && error.kind() == io::ErrorKind::InvalidInput
        {
            return Err(ReportError::io("lock", path)(error));
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(ReportError::io("create", &path))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => sleep(PAUSE),
            }
        }
        Err(ReportError::Locked { path: folder.to_owned() })
    }
}

impl FolderLock {
    /// Whether the folder was ever locked, which shows that it belongs to a run or a sweep.
    pub fn was_in(folder: &Path) -> bool {
        folder.join(LOCK).is_file()
    }
}

/// Whether a running process holds the folder's lock for longer than a check or an ending process does.
pub(super) fn stays_locked(folder: &Path) -> bool {
    for _ in 0..TRIES {
        if !is_locked(folder) {
            return false;
        }
        sleep(PAUSE);
    }
    true
}

/// Whether a running process holds the folder's lock.
pub(super) fn is_locked(folder: &Path) -> bool {
    // Some network file systems require a file that is open for writing, and some folders are read-only.
    let path = folder.join(LOCK);
    if !path.is_file() {
        return false;
    }
    let file = OpenOptions::new().write(true).open(&path).or_else(|_| read::open(&path));
    // A shared lock, so that two simultaneous checks do not see each other.
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
