//! What the targets share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::LazyLock;

use flora_data::{Dataset, Split};

/// A folder of this process for parsers that take a path, in memory where the system has such.
///
/// The fuzzer ends its processes without a word, so that each removes what those before it left.
pub fn scratch() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
        let all = memory.unwrap_or_else(std::env::temp_dir).join("flora-fuzz");
        fs::create_dir_all(&all).expect("a temporary folder can be written");
        let processes = Path::new("/proc");
        for left in fs::read_dir(&all).into_iter().flatten().flatten() {
            if processes.join("self").exists() && !processes.join(left.file_name()).exists() {
                let _ = fs::remove_dir_all(left.path());
            }
        }
        let folder = all.join(process::id().to_string());
        fs::create_dir_all(&folder).expect("a temporary folder can be written");
        folder
    });
    &FOLDER
}

/// Write a file of the [`scratch`] folder, and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    if fs::write(path, bytes).is_err() {
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("folders");
        fs::write(path, bytes).expect("the temporary folder has room");
    }
}

/// An idx file with a correct header.
pub fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    file.extend(bytes);
    file
}

/// What is true of every data set that was opened.
pub fn check(set: &Dataset) {
    let mut seen = vec![false; set.classes().len()];
    for i in 0..set.len() {
        seen[set.label(i)] = true;
        assert!(set.domain(i).is_none_or(|domain| domain < set.domains().len()));
        assert!(!set.describe(i).is_empty());
    }
    assert!(seen.iter().all(|&seen| seen) && !seen.is_empty());
    assert!(!set.indices(Split::Train).is_empty() || !set.indices(Split::Test).is_empty());
    for class in set.classes() {
        assert!(set.template().fill(class).contains(class.as_str()));
    }
}
