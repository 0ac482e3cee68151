//! Search for a relative path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::HubError;

/// Where a program gets the models and data sets that it brings along: asked for a relative path that is in no other
/// folder, it returns the folder to look in, or `None` if it does not have that path.
pub type Shipped = fn(&Path) -> Option<io::Result<PathBuf>>;

static SHIPPED: OnceLock<Shipped> = OnceLock::new();

/// Lets [`find()`], and whatever calls it, look in a folder that the program itself provides, after all others. The first
/// call counts.
pub fn set_shipped(shipped: Shipped) {
    // A second call would change paths that were found before.
    let _ = SHIPPED.set(shipped);
}

/// Finds the file or folder at `path`: an absolute path as it is, otherwise below the current folder, below
/// `$FLORA_HOME`, below the source tree that this program was built from, or among what the program brings along
/// ([`set_shipped`]).
///
/// # Errors
///
/// [`HubError::NotFound`] with every place that was tried, [`HubError::Shipped`] if the program cannot provide what it
/// brings along.
pub fn find(path: &Path) -> Result<PathBuf, HubError> {
    let home = std::env::var_os("FLORA_HOME").map(PathBuf::from);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned);
    // A crate from a registry has no source tree around it.
    let source = source.filter(|source| source.join("crates/flora-hub").is_dir());
    let folders: Vec<_> = [Some(PathBuf::new()), home, source].into_iter().flatten().collect();
    let error = match find_below(folders.iter().cloned(), path) {
        Err(error @ HubError::NotFound { .. }) => error,
        found => return found,
    };
    match SHIPPED.get().and_then(|shipped| shipped(path)) {
        None => Err(error),
        Some(Ok(folder)) => find_below(folders.into_iter().chain([folder]), path),
        Some(Err(problem)) => Err(HubError::Shipped {
            name: path.display().to_string(),
            problem: problem.to_string(),
        }),
    }
}

fn find_below(folders: impl Iterator<Item = PathBuf>, path: &Path) -> Result<PathBuf, HubError> {
    let mut tried = Vec::new();
    // An empty path would be found everywhere.
    if !path.as_os_str().is_empty() {
        // Joining an absolute path gives that path.
        for candidate in folders.map(|folder| folder.join(path)) {
            if candidate.exists() {
                return Ok(candidate);
            }
            let shown = candidate.display().to_string();
            if !tried.contains(&shown) {
                tried.push(shown);
            }
        }
    }
    Err(HubError::NotFound {
        name: path.display().to_string(),
        tried,
        remedy: "correct the path, or set FLORA_HOME to the folder that it is relative to".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_tried_in_order() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = || [first.path().to_owned(), second.path().to_owned()].into_iter();
        let wanted = Path::new("models/some");

        let error = find_below(folders(), wanted).unwrap_err();
        let HubError::NotFound { name, tried, .. } = &error else { panic!("{error:?}") };
        assert_eq!(name, "models/some");
        assert_eq!(tried.len(), 2);
        assert!(error.to_string().contains("FLORA_HOME"), "{error}");
        for folder in folders() {
            assert!(error.to_string().contains(&folder.join(wanted).display().to_string()));
        }

        std::fs::create_dir_all(second.path().join(wanted)).unwrap();
        assert_eq!(find_below(folders(), wanted).unwrap(), second.path().join(wanted));
        std::fs::create_dir_all(first.path().join(wanted)).unwrap();
        assert_eq!(find_below(folders(), wanted).unwrap(), first.path().join(wanted));
    }

    #[test]
    fn an_absolute_path_is_itself_and_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(folder.path()).unwrap(), folder.path());
        let HubError::NotFound { tried, .. } = find(&folder.path().join("no")).unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(tried.len(), 1);
    }

    /// It may be a data set.
    #[test]
    fn a_word_is_no_model_here() {
        let error = find(Path::new("nope")).unwrap_err().to_string();
        assert!(error.starts_with("nope: not found; looked in nope, "), "{error}");
        assert!(!error.contains("clip-nano") && !error.contains("hf:"), "{error}");
    }

    #[test]
    fn below_the_source_tree() {
        assert!(find(Path::new("crates/flora-hub/Cargo.toml")).unwrap().is_file());
    }

    #[test]
    fn odd_paths_are_not_found() {
        for path in ["", "\0", "a\0b", &"x/".repeat(5000)] {
            assert!(matches!(find(Path::new(path)), Err(HubError::NotFound { .. })), "{path:?}");
        }
    }
}
