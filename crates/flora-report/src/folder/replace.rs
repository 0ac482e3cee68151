use std::{fs, io, path::Path};

use flora_core::files;

use super::{
    BEST, CLIENTS, Existing, METRICS, PARTITION, PREDICTIONS, PREDICTIONS_BEFORE, REPORT, ROUNDS,
    STATE, SUMMARY, TENSORBOARD, TRAINED, TRAINED_FILE, is_run, lock,
};
use crate::ReportError;

/// Whether the folder may be used, and if so, whether it holds a run to be removed first. Changes nothing.
pub(super) fn check(path: &Path, existing: Existing) -> Result<bool, ReportError> {
    if !path.exists() {
        return Ok(false);
    }
    if !path.is_dir() {
        return Err(ReportError::NotAFolder { path: path.to_owned() });
    }
    if lock::stays_locked(path) {
        return Err(ReportError::Locked { path: path.to_owned() });
    }
    holds_run(path, existing)
}

/// The same for an existing folder, regardless of its lock.
pub(super) fn holds_run(path: &Path, existing: Existing) -> Result<bool, ReportError> {
    let is_empty = is_empty(path).map_err(ReportError::io("read the folder", path))?;
    let path = path.to_owned();
    match (is_run(&path), existing) {
        _ if is_empty => Ok(false),
        (true, Existing::ReplaceRun) => Ok(true),
        (true, Existing::Refuse) => Err(ReportError::HoldsRun { path }),
        (false, _) => Err(ReportError::NotEmpty { path }),
    }
}

/// Whether the folder contains only the first two files of a run that was killed at its start.
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let nothing = name == lock::LOCK
            || files::is_leftover(&name)
            || name == METRICS
                && fs::metadata(entry.path()).is_ok_and(|file| file.is_file() && file.len() == 0);
        if !nothing {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the files that a run writes and the files written about it, except those that mark a run, which the next run
/// overwrites. An interrupted removal can therefore be continued.
///
/// The saved state is removed first and the summary second, so that neither refers to files that no longer exist.
pub(super) fn remove_run(folder: &Path) -> Result<(), ReportError> {
    remove_folder(folder, STATE)?;
    remove_file(folder, SUMMARY)?;
    for name in [BEST, ROUNDS, CLIENTS, TENSORBOARD].into_iter().chain(TRAINED) {
        remove_folder(folder, name)?;
    }
    for name in [TRAINED_FILE, PREDICTIONS, PREDICTIONS_BEFORE, REPORT] {
        remove_file(folder, name)?;
    }
    remove_file(folder, PARTITION)
}

pub(super) fn remove_file(folder: &Path, name: &str) -> Result<(), ReportError> {
    let path = folder.join(name);
    ignore_absent(fs::remove_file(&path)).map_err(ReportError::io("remove", path))
}

fn remove_folder(folder: &Path, name: &str) -> Result<(), ReportError> {
    let path = folder.join(name);
    ignore_absent(files::remove_folder(&path)).map_err(ReportError::io("remove", path))
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
