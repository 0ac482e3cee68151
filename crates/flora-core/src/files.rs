//! Atomic file writes: a file is either whole or not there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Prefix of the names of temporary files.
const TEMPORARY: &str = ".flora-";

/// Writes `bytes` to `path` through a temporary file in the same folder, synced and renamed, so that a reader (or a
/// crash) never sees half a file. Creates missing parent folders.
///
/// # Errors
///
/// The operating system's error; an old file, if any, is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// Like [`write_atomic`], for contents that are produced piece by piece.
///
/// # Errors
///
/// The error of `write` or of the operating system; an old file, if any, is then untouched.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write_through(tempfile::Builder::new().permissions_like_umask(), path, write)
}

/// Like [`write_atomic`], for secrets: on Unix, only the file's owner can read and write it (mode 0600), whatever the
/// umask and whatever the mode of a file that it replaces.
///
/// # Errors
///
/// The operating system's error; an old file, if any, is then untouched.
pub fn write_atomic_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_private_with(path, |file| file.write_all(bytes))
}

/// Like [`write_atomic_private`], for contents that are produced piece by piece.
///
/// # Errors
///
/// The error of `write` or of the operating system; an old file, if any, is then untouched.
pub fn write_atomic_private_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // Temporary files are private unless their permissions are set.
    write_through(&mut tempfile::Builder::new(), path, write)
}

fn write_through(
    temporary: &mut tempfile::Builder<'_, '_>,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut file = temporary.prefix(TEMPORARY).tempfile_in(folder)?;
    {
        let mut buffered = io::BufWriter::new(file.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Opens a regular file for reading, and refuses anything else at once: opening a named pipe would wait for a writer, and
/// reading a device may never end. Links to regular files are followed.
///
/// # Errors
///
/// The operating system's error, or [`io::ErrorKind::InvalidInput`] with a message that says what `path` is.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A named pipe opens without a writer. For regular files, the flag has no effect.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        // Sockets cannot be opened.
        Err(error) => {
            let other = std::fs::metadata(path).ok().and_then(|metadata| not_regular(&metadata));
            return Err(other.unwrap_or(error));
        }
    };
    match not_regular(&file.metadata()?) {
        Some(error) => Err(error),
        None => Ok(file),
    }
}

/// The error for something that is no regular file.
fn not_regular(metadata: &Metadata) -> Option<io::Error> {
    if metadata.is_file() {
        return None;
    }
    let kind = if metadata.is_dir() { "a folder" } else { special(metadata) };
    let problem = format!("it is {kind}, not a regular file; put the file in its place");
    Some(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

#[cfg(unix)]
fn special(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: &Metadata) -> &'static str {
    "a device"
}

/// Feeds the bytes of a file to `hash` in pieces, since the file may be larger than memory.
///
/// # Errors
///
/// The operating system's error.
pub fn hash(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    hash_from(File::open(path)?, hash)
}

/// [`hash`] of a file that is already open, from where it stands.
///
/// # Errors
///
/// The operating system's error.
pub fn hash_from(mut file: impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Reads a UTF-8 text file and removes the byte-order mark that some programs put first.
///
/// # Errors
///
/// The operating system's error, or a file that is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    let invalid = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(invalid("it is UTF-16; save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        invalid(&format!("line {} is not UTF-8; save the file as UTF-8", line + 1))
    })?;
    Ok(without_mark(&text).to_owned())
}

/// The text without its byte-order mark, if it has one.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Removes the temporary files that killed processes left in `folder` and below. Call it only on a folder that no other
/// process writes to.
///
/// # Errors
///
/// The operating system's error.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let is_left = is_leftover(&entry.file_name());
        match (kind.is_dir(), is_left) {
            (true, true) => std::fs::remove_dir_all(entry.path())?,
            (true, false) => remove_leftovers(&entry.path())?,
            (false, true) => std::fs::remove_file(entry.path())?,
            (false, false) => {}
        }
    }
    Ok(())
}

/// A temporary file younger than this may still be in use by another process.
const STILL_WRITTEN: Duration = Duration::from_secs(24 * 3600);

/// Removes temporary files last written more than a day ago from `folder`, which other processes may be writing to.
/// Files that cannot be removed stay: they only take space.
pub fn remove_old_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| is_leftover(&entry.file_name())) {
        // For a link, the metadata of the link itself.
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|written| written.elapsed().ok());
        if metadata.is_file() && age.is_some_and(|age| age > STILL_WRITTEN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether [`remove_leftovers`] removes a file or folder of this name.
pub fn is_leftover(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

/// Removes the folder `path` and its contents, all or nothing: a process killed meanwhile leaves it whole, or under a
/// name that [`remove_leftovers`] removes.
///
/// # Errors
///
/// The operating system's error.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(TEMPORARY);
    name.push(path.file_name().unwrap_or_default());
    let gone = path.with_file_name(name);
    if gone.exists() {
        std::fs::remove_dir_all(&gone)?;
    }
    std::fs::rename(path, &gone)?;
    std::fs::remove_dir_all(gone)
}

/// `tempfile` makes files private to the user; results are meant to be shared like any other file.
trait UmaskPermissions {
    fn permissions_like_umask(&mut self) -> &mut Self;
}

impl UmaskPermissions for tempfile::Builder<'_, '_> {
    #[cfg(unix)]
    fn permissions_like_umask(&mut self) -> &mut Self {
        use std::os::unix::fs::PermissionsExt;
        self.permissions(std::fs::Permissions::from_mode(0o666))
    }

    #[cfg(not(unix))]
    fn permissions_like_umask(&mut self) -> &mut Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&dir.path().join("below/result"), b"whole").unwrap();
        for left in [".flora-abc", "below/.flora-def", "below/.floral"] {
            std::fs::write(dir.path().join(left), b"half").unwrap();
        }
        std::fs::create_dir_all(dir.path().join(".flora-state/inside")).unwrap();
        remove_leftovers(dir.path()).unwrap();
        let names = |folder: &str| {
            let entries = std::fs::read_dir(dir.path().join(folder)).unwrap();
            let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["below"]);
        assert_eq!(names("below"), [".floral", "result"]);
    }

    #[test]
    fn only_old_leftovers_are_removed_where_others_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let before = |hours: u64| std::time::SystemTime::now() - Duration::from_secs(3600 * hours);
        for (name, hours) in [(".flora-old", 25), (".flora-new", 23), ("old", 25)] {
            let file = std::fs::File::create(path(name)).unwrap();
            file.set_modified(before(hours)).unwrap();
        }
        std::fs::create_dir(path(".flora-folder")).unwrap();
        remove_old_leftovers(dir.path());
        let left = [".flora-old", ".flora-new", "old", ".flora-folder"].map(|it| path(it).exists());
        assert_eq!(left, [false, true, true, true]);
        remove_old_leftovers(&path("nowhere"));
    }

    /// Nothing waits for a writer or an end.
    #[test]
    #[cfg(unix)]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), b"text").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        for name in ["file", "link"] {
            let text = io::read_to_string(open_regular(&path(name)).unwrap()).unwrap();
            assert_eq!(text, "text", "{name}");
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), pipe, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (path, kind) in [
            (path("pipe"), "a named pipe"),
            (path("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
            (dir.path().to_owned(), "a folder"),
        ] {
            let error = open_regular(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{kind}");
            assert!(error.to_string().contains(&format!("it is {kind}, not a regular")), "{error}");
        }
        let error = open_regular(&path("absent")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_goes_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            // Leftovers of an earlier removal are no obstacle.
            std::fs::create_dir_all(dir.path().join(".flora-state")).unwrap();
            write_atomic(&dir.path().join("state/below/file"), b"whole").unwrap();
            remove_folder(&dir.path().join("state")).unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        let error = remove_folder(&dir.path().join("state")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/secret");
        let others = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o077;
        write_atomic_private(&path, b"one").unwrap();
        assert_eq!(others(&path), 0);
        // It replaces a file that others can read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_atomic_private_with(&path, |out| out.write_all(b"two")).unwrap();
        assert_eq!((others(&path), std::fs::read(&path).unwrap()), (0, b"two".to_vec()));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/file");
        write_atomic(&path, b"old").unwrap();
        let result = write_atomic_with(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "the temporary file must be gone");
    }
}
