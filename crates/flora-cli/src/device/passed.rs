//! Devices that passed the check: lines of a file in the user's cache, each with a driver and the program that checked
//! it.

use std::path::PathBuf;

use flora::core::files::write_atomic;

/// Maximum number of recorded passes; the oldest are dropped.
const MOST: usize = 100;

fn file() -> Option<PathBuf> {
    Some(flora::tuning::assets::default_cache()?.join("devices.jsonl"))
}

fn read() -> Vec<String> {
    let text = file().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

pub(super) fn contains(key: &str) -> bool {
    read().iter().any(|line| line == key)
}

/// If the cache cannot be written, nothing is recorded, and the device is checked again.
pub(super) fn insert(key: &str) {
    let Some(file) = file() else { return };
    let mut lines = read();
    lines.retain(|line| line != key);
    lines.push(key.to_owned());
    let kept = &lines[lines.len().saturating_sub(MOST)..];
    if let Some(folder) = file.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = write_atomic(&file, (kept.join("\n") + "\n").as_bytes());
}
