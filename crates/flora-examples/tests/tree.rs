//! The archive holds what the source tree holds.

use std::path::Path;

#[path = "../archive.rs"]
#[allow(dead_code, reason = "build scripts use the rest")]
mod archive;

#[test]
fn the_archive_is_that_of_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let written = flora_examples::unpack(folder.path()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = archive::files(&root).unwrap();
    assert!(files.len() > 3000, "{} files", files.len());
    for name in &files {
        let unpacked = std::fs::read(folder.path().join(name)).unwrap_or_default();
        let same = unpacked == std::fs::read(root.join(name)).unwrap();
        assert!(same, "{} differs", name.display());
    }
    assert_eq!(written, files.len(), "the archive has more files than the tree");
}
