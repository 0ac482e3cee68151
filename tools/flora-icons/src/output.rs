//! Writing files so that no reader ever sees half of one.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `bytes` to `path` by way of a temporary name in the same folder.
///
/// # Errors
///
/// [`Error::Write`].
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Pending::create(path)?;
    file.writer().write_all(bytes).map_err(Error::write(path))?;
    file.commit()
}

/// Creates `path` and the folders above it.
///
/// # Errors
///
/// [`Error::Write`].
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::write(path))
}

/// A file that takes its name when it is complete; dropped before that, it vanishes.
pub(crate) struct Pending {
    path: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Pending {
    /// Opens a temporary file beside `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(Error::write(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, writer: Some(BufWriter::new(file)) })
    }

    /// The name that the file will have.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file to write to.
    pub(crate) fn writer(&mut self) -> &mut BufWriter<File> {
        self.writer
            .as_mut()
            .expect("the writer is taken by `commit` only, which consumes the value")
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn commit(mut self) -> Result<()> {
        self.writer().flush().map_err(Error::write(&self.temporary))?;
        self.writer().get_ref().sync_all().map_err(Error::write(&self.temporary))?;
        self.writer = None;
        fs::rename(&self.temporary, &self.path).map_err(Error::write(&self.path))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // The file is incomplete and the reason is already on its way up: failing to remove it adds nothing.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.txt");
        write(&path, b"one").expect("written");
        let mut pending = Pending::create(&path).expect("opened");
        pending.writer().write_all(b"two").expect("written");
        drop(pending);
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
