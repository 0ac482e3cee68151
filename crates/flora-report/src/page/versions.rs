//! Whether the files of runs have changed since they were read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use flora_core::hex;
use sha2::{Digest, Sha256};

use super::data::{AFTER, BEFORE};
use crate::{
    EXPERIMENT, METRICS, PARTITION, RunFolder, SUMMARY, folder::is_run, sweep::SweepRecord,
};

/// What a page is made of.
const FILES: [&str; 7] =
    [EXPERIMENT, METRICS, PARTITION, SUMMARY, AFTER, BEFORE, SweepRecord::FILE];

/// A short text that changes when the length or the time of a file changes, and when the process that writes the run
/// begins or ends.
pub(super) fn version(folders: &[PathBuf]) -> String {
    let mut hash = Sha256::new();
    for folder in folders {
        add(&mut hash, folder);
        if !is_run(folder) {
            let below = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut runs: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
            runs.retain(|path| is_run(path));
            runs.sort();
            runs.iter().for_each(|run| add(&mut hash, run));
        }
    }
    hex::encode(&hash.finalize())[..16].to_owned()
}

fn add(hash: &mut Sha256, folder: &Path) {
    hash.update([u8::from(RunFolder::is_locked(folder))]);
    for name in FILES {
        let Ok(metadata) = fs::metadata(folder.join(name)) else {
            hash.update([0]);
            continue;
        };
        let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hash.update([1]);
        hash.update(metadata.len().to_le_bytes());
        hash.update(time.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_more_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let empty = version(&folders);
        assert_eq!(version(&folders), empty);
        fs::write(folder.path().join(METRICS), "{}\n").unwrap();
        let one = version(&folders);
        assert_ne!(one, empty);
        fs::write(folder.path().join(METRICS), "{}\n{}\n").unwrap();
        assert_ne!(version(&folders), one);
        // A run of a sweep.
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::write(run.join(EXPERIMENT), "").unwrap();
        fs::write(run.join(METRICS), "").unwrap();
        fs::remove_file(folder.path().join(METRICS)).unwrap();
        let sweep = version(&folders);
        fs::write(run.join(METRICS), "{}\n").unwrap();
        assert_ne!(version(&folders), sweep);
    }
}
