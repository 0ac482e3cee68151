//! A durable list of the releases of a run with central privacy.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flora_core::files::write_atomic_private;
use flora_core::hex;

/// The releases of a run with [`Central`](crate::Central) privacy. The budget spent follows their number.
///
/// Each noised mean is a release, identified by its number in the run and a digest of its bits. A run that is resumed
/// repeats rounds. If a repeated release has the same bits, it counts once, because it reveals nothing new. Otherwise,
/// for example because a client was missing the second time, it is a further release.
///
/// A list in memory ends with the process. With [`store_in`](Self::store_in), each release is written to a file before
/// it is returned. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Releases(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    path: Option<PathBuf>,
    /// The number and the digest of each release.
    lines: Vec<String>,
}

impl Releases {
    /// Stores the releases in the file `path`, one a line: `NUMBER SHA256`. A new run replaces an existing file, and a
    /// resumed one continues it.
    ///
    /// # Errors
    /// A file that cannot be written, or of a resumed run that cannot be read.
    pub fn store_in(&self, path: &Path, is_resumed: bool) -> Result<(), String> {
        let mut whole = match is_resumed {
            false => String::new(),
            true => fs::read_to_string(path).map_err(|error| {
                let told = problem("cannot be read", path, &error);
                format!(
                    "{told}; it counts what the run has spent: restore it, or begin the run anew"
                )
            })?,
        };
        // A line is cut off if the machine failed while it was written. Its release never left.
        whole.truncate(whole.rfind('\n').map_or(0, |end| end + 1));
        let written = write_atomic_private(path, whole.as_bytes());
        written.map_err(|error| problem("cannot be written", path, &error))?;
        let mut list = self.lock();
        list.path = Some(path.to_owned());
        list.lines = whole.lines().map(str::to_owned).collect();
        Ok(())
    }

    /// Records a release, unless it was recorded before. Returns the number of different releases so far, which is at
    /// least `number + 1`. `exceeded` tells why no release may follow the given number of them.
    pub(crate) fn admit(
        &self,
        number: usize,
        digest: &[u8],
        exceeded: impl FnOnce(usize) -> Option<String>,
    ) -> Result<usize, String> {
        let mut list = self.lock();
        let line = format!("{number} {}", hex::encode(digest));
        if !list.lines.contains(&line) {
            if let Some(why) = exceeded(list.lines.len().max(number)) {
                return Err(format!(
                    "the repeated round has another result than before the run was interrupted, and releasing both \
                     is too much: {why}"
                ));
            }
            if let Some(path) = &list.path {
                let written = append(path, &line);
                written.map_err(|error| problem("cannot be written", path, &error))?;
            }
            list.lines.push(line);
        }
        Ok(list.lines.len().max(number + 1))
    }

    /// The number of different releases, at least `number`.
    pub(crate) fn count(&self, number: usize) -> usize {
        self.lock().lines.len().max(number)
    }

    /// Whether there is a release with this number, which a resumed run repeats.
    pub(crate) fn has(&self, number: usize) -> bool {
        let prefix = format!("{number} ");
        self.lock().lines.iter().any(|line| line.starts_with(&prefix))
    }

    /// Checks that the first `number` releases of a resumed run are in its file.
    pub(crate) fn check(&self, number: usize) -> Result<(), String> {
        let list = self.lock();
        match &list.path {
            Some(path) if list.lines.len() < number => Err(format!(
                "{} lists {} releases, and the saved run has {number}; restore the file, or begin the run anew",
                path.display(),
                list.lines.len()
            )),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

fn problem(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{} {what}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(releases: &Releases, number: usize, digest: u8) -> usize {
        releases.admit(number, &[digest], |_| None).unwrap()
    }

    #[test]
    fn a_release_counts_once_in_this_process_and_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/releases");
        let open = |is_resumed| {
            let releases = Releases::default();
            releases.store_in(&path, is_resumed).map(|()| releases)
        };
        assert!(open(true).unwrap_err().contains("begin the run anew"));
        let releases = open(false).unwrap();
        assert_eq!(
            [admit(&releases, 0, 1), admit(&releases, 1, 2), admit(&releases, 2, 3)],
            [1, 2, 3]
        );
        // The last line is cut off, as after a power failure.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}3 0")).unwrap();
        let releases = open(true).unwrap();
        assert!(releases.check(3).is_ok() && releases.check(4).is_err());
        assert!(releases.has(2) && !releases.has(3));
        // Repeated from round 1: the same, then another.
        assert_eq!(
            [admit(&releases, 1, 2), admit(&releases, 2, 9), admit(&releases, 3, 4)],
            [3, 4, 5]
        );
        assert_eq!(open(true).unwrap().count(0), 5);
        let refused = open(true).unwrap().admit(1, &[7], |done| Some(format!("{done} are all")));
        assert!(refused.unwrap_err().contains("5 are all"));
        assert_eq!(open(true).unwrap().count(0), 5);
        // A new run in the same folder.
        assert_eq!(open(false).unwrap().count(0), 0);
    }
}
