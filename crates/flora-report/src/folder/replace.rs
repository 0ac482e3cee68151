use std::{fs, io, path::Path};

use flora_core::files;

use super::{
    BEST, CLIENTS, Existing, METRICS, PARTITION, PREDICTIONS, PREDICTIONS_BEFORE, REPORT, ROUNDS,
    STATE, SUMMARY, TENSORBOARD, TRAINED, TRAINED_FILE, is_run, lock,
};
use crate::ReportError;

/// Whether the folder may be taken, and if so whether it holds a run to be removed first. Nothing is touched.
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

/// The same of an existing folder, whoever has locked it.
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

/// Whether nothing is in the folder but the first two files of a run that was killed as it began.
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

/// Removes what a run writes, and what was written about it, apart from the files that mark a run, which the next one writes over; so a removal that
/// is cut short can be taken up again.
///
/// The saved state goes first, and the summary next, before what it sums up: neither is to speak of files that are gone.
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
