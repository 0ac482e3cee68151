//! Runs as recorded in their folders, in any state: running, finished, killed, or damaged.

pub(crate) mod events;
mod experiment;
mod record;
mod told;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

pub use self::record::{RunRecord, RunState};
pub(crate) use self::{experiment::Settings, told::Told};
use crate::{
    ReportError,
    folder::{irregular, is_run},
};

/// The default folder of runs.
pub const RUNS: &str = "runs";

/// All runs in `folders` and in the folders below them, the newest first.
///
/// A damaged run, or a folder below that cannot be read, is a row whose [`RunRecord::problem`] gives the reason.
///
/// # Errors
/// [`ReportError::Io`] if one of `folders` itself cannot be read.
pub fn list(folders: &[PathBuf]) -> Result<Vec<RunRecord>, ReportError> {
    let mut runs = Vec::new();
    // The same run may be below two of the folders.
    let mut seen = BTreeSet::new();
    for folder in folders {
        fs::read_dir(folder).map_err(ReportError::io("read the folder", folder))?;
        find(folder, &mut |path, error| {
            if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
                return;
            }
            runs.push(match error {
                None => RunRecord::read(path),
                Some(error) => RunRecord::unreadable(path, format!("cannot be read: {error}")),
            });
        });
    }
    runs.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| a.path.cmp(&b.path)));
    Ok(runs)
}

/// The path of the run that a user names by its folder or by its name below `runs`.
///
/// # Errors
/// [`ReportError::NoSuchRun`].
pub fn resolve(name: impl AsRef<Path>) -> Result<PathBuf, ReportError> {
    let name = name.as_ref();
    let below = Path::new(RUNS).join(name);
    let mut candidates = [PathBuf::from(name), below].into_iter();
    candidates
        .find(|path| is_run(path))
        .ok_or_else(|| ReportError::NoSuchRun { name: name.display().to_string() })
}

/// Calls `found` with every run in the folder and below it, and with folders that cannot be read. Links to folders are
/// not followed, because they may form cycles. Folders inside a run's folder are not searched.
fn find(folder: &Path, found: &mut impl FnMut(&Path, Option<&io::Error>)) {
    if is_run(folder) {
        return found(folder, None);
    }
    if let Some((file, error)) = irregular(folder) {
        let name = file.file_name().unwrap_or_default().display();
        return found(folder, Some(&io::Error::new(error.kind(), format!("{name}: {error}"))));
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return found(folder, Some(&error)),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), found);
        }
    }
}
