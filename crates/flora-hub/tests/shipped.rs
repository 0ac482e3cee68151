//! What a program brings along is looked in last, and only for paths that it has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flora_hub::{HubError, find, resolve, set_shipped};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn shipped(path: &Path) -> Option<io::Result<PathBuf>> {
    match path.to_str()? {
        "models/clip-other" | "README.md" => Some(Ok(FOLDER.get()?.clone())),
        "models/broken" => Some(Err(io::Error::other("the disk is full"))),
        _ => None,
    }
}

#[test]
fn what_is_shipped_is_found_last() {
    let folder = tempfile::tempdir().unwrap();
    FOLDER.set(folder.path().to_owned()).unwrap();
    let model = folder.path().join("models/clip-other");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(folder.path().join("README.md"), "").unwrap();
    let wanted = Path::new("models/clip-other");

    assert!(matches!(find(wanted), Err(HubError::NotFound { .. })));
    set_shipped(shipped);
    assert_eq!(find(wanted).unwrap(), model);
    assert_eq!(resolve("models/clip-other", &mut |_| {}).unwrap(), model);
    // The current folder comes before.
    assert_eq!(find(Path::new("README.md")).unwrap(), Path::new("README.md"));

    let error = find(Path::new("models/none")).unwrap_err();
    assert!(matches!(error, HubError::NotFound { .. }), "{error}");
    let error = find(Path::new("models/broken")).unwrap_err().to_string();
    assert!(error.contains("the disk is full") && error.contains("FLORA_HOME"), "{error}");

    // The first folder stays.
    set_shipped(|_| None);
    assert_eq!(find(wanted).unwrap(), model);
}
