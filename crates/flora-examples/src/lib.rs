//! The model and data sets that ship with flora, for programs that run outside the source tree.
//!
//! One archive holds `models/clip-nano`, `datasets/` and `NOTICE`, which has the licences. [`installed`] unpacks it once
//! into the user's data folder; [`unpack`] unpacks it anywhere.
//!
//! The second half of the archive is in `flora-examples-rest`: crates.io takes 10 MiB at most for a crate. In the source
//! tree, the build scripts of both crates make their halves from the files; before packaging,
//! `cargo run --release -p flora-examples --example pack` puts them into the packages.

mod install;

use std::error::Error;
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

/// The folder that holds the archive's content. If it is not there yet, it is unpacked; if files are missing or have
/// another size, they are unpacked again. Folders that were left when an unpacking program was killed are removed after
/// a day, at the next unpacking.
///
/// # Errors
///
/// There is no home folder, or the content cannot be written.
pub fn installed() -> io::Result<PathBuf> {
    let folder = folder().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the user has no home folder; set HOME")
    })?;
    install::install(&folder)?;
    Ok(folder)
}

/// The folders beside [`folder`] that other versions of the program unpacked, sorted. They are not removed, because an
/// older program may still be in use; it would unpack them again.
pub fn of_other_versions() -> Vec<PathBuf> {
    folder().map(|folder| install::others(&folder)).unwrap_or_default()
}

/// Writes `models/`, `datasets/` and `NOTICE` into `folder`, which must be there, in place of files of the same names.
/// Returns how many files were written.
///
/// # Errors
///
/// A file cannot be written.
pub fn unpack(folder: &Path) -> io::Result<usize> {
    unpack_listed(folder).map(|files| files.len())
}

/// [`unpack`], which returns the names and sizes of the files.
fn unpack_listed(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut archive = Archive::new(GzDecoder::new(FIRST.chain(SECOND)));
    archive.set_preserve_permissions(false);
    archive.set_preserve_mtime(false);
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let path = folder.join(&name);
        if !entry.unpack_in(folder).map_err(|error| named(&path, error))? {
            return Err(named(&path, io::Error::other("leads out of the folder")));
        }
        files.push((name.to_string_lossy().into_owned(), entry.size()));
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
