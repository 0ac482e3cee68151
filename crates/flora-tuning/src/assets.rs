//! Where computed features are kept.

use std::path::PathBuf;

/// Where computed features are kept unless the experiment says otherwise: `$FLORA_CACHE`, or
/// `flora` in the user's cache folder. `None` where there is no such folder.
pub fn default_cache() -> Option<PathBuf> {
    match std::env::var_os("FLORA_CACHE") {
        Some(folder) => Some(folder.into()),
        None => dirs::cache_dir().map(|folder| folder.join("flora")),
    }
}
