//! The cache of computed features.

use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};

/// Default folder for computed features: `$FLORA_CACHE`, or `flora` in the user's cache folder. `None` if there is no
/// such folder.
pub fn default_cache() -> Option<PathBuf> {
    // Empty means unset, as for XDG's own variables and HOME: the current folder must not become a cache.
    match std::env::var_os("FLORA_CACHE").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None => {
            let caches = choose_native_strategy().ok()?.cache_dir();
            caches.is_absolute().then(|| caches.join("flora"))
        }
    }
}
