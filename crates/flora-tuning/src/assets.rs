//! Where models and data sets that an experiment names are looked for.

use std::path::{Path, PathBuf};

use crate::TuningError;

/// The file or folder that `path` names: itself if it is absolute, otherwise below the current
/// folder, below `$FLORA_HOME`, or below the source tree that this program was built from.
///
/// # Errors
///
/// [`TuningError::NotFound`] with every place that was tried.
pub fn find(path: &Path) -> Result<PathBuf, TuningError> {
    let mut tried = Vec::new();
    let below = [
        Some(PathBuf::new()),
        std::env::var_os("FLORA_HOME").map(PathBuf::from),
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned),
    ];
    // Joining an absolute path gives that path.
    for candidate in below.into_iter().flatten().map(|folder| folder.join(path)) {
        if candidate.exists() {
            return Ok(candidate);
        }
        let shown = candidate.display().to_string();
        if !tried.contains(&shown) {
            tried.push(shown);
        }
    }
    Err(TuningError::NotFound { name: path.display().to_string(), tried })
}

/// Where computed features are kept unless the experiment says otherwise: `$FLORA_CACHE`, or
/// `flora` in the user's cache folder. `None` where there is no such folder.
pub fn default_cache() -> Option<PathBuf> {
    match std::env::var_os("FLORA_CACHE") {
        Some(folder) => Some(folder.into()),
        None => dirs::cache_dir().map(|folder| folder.join("flora")),
    }
}
