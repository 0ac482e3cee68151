use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    thread::sleep,
    time::Duration,
};

use crate::ReportError;

/// The file whose lock says that a process writes the folder. It stays behind: if it was removed, a second process
/// could hold the lock of the removed file while a third one locks a new file of the same name.
pub(super) const LOCK: &str = "run.lock";

/// A look at the lock ([`is_locked`]) holds it for a moment, and a process that was killed until its memory is
/// given back: a second, which must not refuse the run that follows.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a run folder. The system releases it when the last handle of the file is closed, however the process
/// ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks the folder. On a file system without locks there is nothing to hold, and the run goes on.
    ///
    /// # Errors
    /// [`ReportError::Locked`] and [`ReportError::Io`].
    pub fn acquire(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join(LOCK);
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
    /// Whether the folder was ever locked: whether what lies in it is a run's, or a sweep's.
    pub fn was_in(folder: &Path) -> bool {
        folder.join(LOCK).is_file()
    }
}

/// Whether a living process holds the folder's lock, and keeps it for longer than a look or a process that is
/// ending does.
pub(super) fn stays_locked(folder: &Path) -> bool {
    for _ in 0..TRIES {
        if !is_locked(folder) {
            return false;
        }
        sleep(PAUSE);
    }
    true
}

/// Whether a living process holds the folder's lock.
pub(super) fn is_locked(folder: &Path) -> bool {
    // Some network file systems want a file that is open for writing, and some folders are read-only.
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).open(&path).or_else(|_| File::open(&path));
    // Shared, so that two who look at the same time do not see each other.
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
