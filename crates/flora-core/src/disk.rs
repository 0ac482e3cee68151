//! Free disk space, and file sizes formatted for people.

use std::path::Path;

/// Bytes that this user may still write to the file system of `path`. If `path` does not exist yet, its nearest
/// existing parent folder counts. `None` if the system does not report free space.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(nearest(path)).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// `path`, or its nearest parent folder that exists.
#[cfg(unix)]
fn nearest(path: &Path) -> &Path {
    let found = path.ancestors().find(|folder| folder.exists());
    // The parents of a relative path end with the empty path, which means the current folder.
    found.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Bytes that this user may still write in the folder `path`. `None` if the system does not report free space.
#[cfg(not(unix))]
pub fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

/// A size for people: `0 B`, `96.0 KiB`, `1.25 MiB`; three significant digits from KiB on.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would round to "1024".
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_to_be_made_has_the_room_of_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        for below in ["", "not", "not/yet"] {
            let path = folder.path().join(below);
            assert_eq!(nearest(&path), folder.path(), "{below}");
            assert!(free_bytes(&path).is_some(), "{below}");
        }
        assert_eq!(nearest(Path::new("not/yet")), Path::new("."));
        assert!(free_bytes(Path::new("not/yet")).is_some());
    }

    #[test]
    fn sizes() {
        for (value, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (96 * 1024, "96.0 KiB"),
            (605_109_252, "577 MiB"),
            (1024 * 1024 - 1, "1.00 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
    }
}
