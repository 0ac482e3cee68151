//! The archive holds what the source tree holds.

use std::io;
use std::path::{Path, PathBuf};

/// The root of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files that belong into the archive, relative to the root, sorted.
///
/// # Errors
///
/// A folder cannot be read.
pub(crate) fn files() -> io::Result<Vec<PathBuf>> {
    let mut files = vec![PathBuf::from("NOTICE")];
    // Other models may have been put beside this one.
    for folder in ["models/clip-nano", "datasets/emoji-vendors", "datasets/fashion-mnist-6k"] {
        below(Path::new(folder), &mut files)?;
    }
    for entry in std::fs::read_dir(root().join("datasets"))? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "toml") {
            files.push(Path::new("datasets").join(name));
        }
    }
    files.sort();
    Ok(files)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if entry.file_name() != "__pycache__" {
            below(&path, files)?;
        }
    }
    Ok(())
}

#[test]
fn the_archive_is_that_of_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let written = flora_examples::unpack(folder.path()).unwrap();
    let files = files().unwrap();
    assert!(files.len() > 3000, "{} files", files.len());
    let remedy = "cargo run --release -p flora-examples --example pack";
    for name in &files {
        let unpacked = std::fs::read(folder.path().join(name)).unwrap_or_default();
        let same = unpacked == std::fs::read(root().join(name)).unwrap();
        assert!(same, "{} differs: {remedy}", name.display());
    }
    assert_eq!(written, files.len(), "the archive has more files than the tree: {remedy}");
}
