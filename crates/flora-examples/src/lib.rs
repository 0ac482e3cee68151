//! The model and data sets that ship with flora, for programs that run outside the source tree.
//!
//! One archive holds `models/clip-nano`, `datasets/` and `NOTICE`, which has the licences. [`installed`] unpacks it once
//! into the user's data folder; [`unpack`] unpacks it anywhere.
//!
//! The second half of the archive is in `flora-examples-rest`: crates.io takes 10 MiB at most for a crate. In the source
//! tree, the build scripts of both crates make their halves from the files; before packaging,
//! `cargo run --release -p flora-examples --example pack` puts them into the packages.

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use flate2::read::GzDecoder;
use tar::Archive;

const FIRST: &[u8] = include_bytes!(env!("FLORA_EXAMPLES"));
const SECOND: &[u8] = flora_examples_rest::ARCHIVE;

/// Whether the archive may hold `path`, a relative path such as `models/clip-nano`.
pub fn may_hold(path: &Path) -> bool {
    path.starts_with("models/clip-nano") || path.starts_with("datasets")
}

/// Where [`installed`] puts the archive: a folder below the user's data folder (on Linux `$XDG_DATA_HOME/flora`) that is
/// called after the archive's checksum. `None` where the user has no home folder.
pub fn folder() -> Option<PathBuf> {
    // A gzip file ends with the CRC-32 of its content and the length.
    let (_, end) = SECOND.split_last_chunk::<8>()?;
    let checksum = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
    let data = choose_native_strategy().ok()?.data_dir();
    // With an empty HOME it would be a folder of the current one.
    data.is_absolute().then(|| data.join("flora").join(format!("examples-{checksum:08x}")))
}

/// The folder that holds the archive's content, after it was unpacked there if it was not there yet.
///
/// # Errors
///
/// There is no home folder, or the content cannot be written.
pub fn installed() -> io::Result<PathBuf> {
    let folder = folder().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the user has no home folder; set HOME")
    })?;
    install(&folder)?;
    Ok(folder)
}

/// Unpacks beside `folder` and renames, so that `folder` is whole if it is there.
fn install(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
    let unpacked = tempfile::Builder::new().prefix(".examples-").tempdir_in(parent);
    let unpacked = unpacked.map_err(|error| named(parent, error))?;
    unpack(unpacked.path())?;
    match fs::rename(unpacked.path(), folder) {
        // Another process was faster.
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(named(folder, error)),
        Ok(()) => {
            // It has another name now, and stays.
            let _ = unpacked.keep();
            Ok(())
        }
    }
}

/// Writes `models/`, `datasets/` and `NOTICE` into `folder`, which must be there, in place of files of the same names.
/// Returns how many files were written.
///
/// # Errors
///
/// A file cannot be written.
pub fn unpack(folder: &Path) -> io::Result<usize> {
    let mut archive = Archive::new(GzDecoder::new(FIRST.chain(SECOND)));
    archive.set_preserve_permissions(false);
    archive.set_preserve_mtime(false);
    let mut files = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = folder.join(entry.path()?);
        if !entry.unpack_in(folder).map_err(|error| named(&path, error))? {
            return Err(named(&path, io::Error::other("leads out of the folder")));
        }
        files += 1;
    }
    Ok(files)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    // `tar` wraps the cause, such as a full disk, in an error that only repeats the path.
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    io::Error::new(error.kind(), format!("{}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_installed_once_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("flora/examples-0");
        install(&folder).unwrap();
        assert!(folder.join("models/clip-nano/config.json").is_file());
        assert!(folder.join("datasets/emoji-vendors/emoji-vendors.toml").is_file());

        // What is there is not written again.
        fs::write(folder.join("NOTICE"), "changed").unwrap();
        install(&folder).unwrap();
        assert_eq!(fs::read(folder.join("NOTICE")).unwrap(), b"changed");
        let beside: Vec<_> = fs::read_dir(home.path().join("flora")).unwrap().collect();
        assert_eq!(beside.len(), 1, "nothing is left beside it: {beside:?}");
    }

    #[test]
    fn two_at_once_make_one_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("examples-0");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| install(&folder).unwrap());
            }
        });
        assert!(folder.join("NOTICE").is_file());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = install(&file.join("examples-0")).unwrap_err().to_string();
        assert!(error.starts_with(file.to_str().unwrap()), "{error}");
    }

    #[test]
    fn the_folder_is_called_after_the_content() {
        let folder = folder().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let checksum = name.strip_prefix("examples-").unwrap();
        let mut content = Vec::new();
        GzDecoder::new(FIRST.chain(SECOND)).read_to_end(&mut content).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        assert_eq!(checksum, format!("{:08x}", crc.sum()));
    }

    #[test]
    fn paths_that_may_be_held() {
        for path in
            ["models/clip-nano", "models/clip-nano/config.json", "datasets", "datasets/dtd.toml"]
        {
            assert!(may_hold(Path::new(path)), "{path}");
        }
        for path in ["", "models", "models/clip-nanno", "/datasets", "../datasets", "data"] {
            assert!(!may_hold(Path::new(path)), "{path}");
        }
    }
}
