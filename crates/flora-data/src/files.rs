//! Files that are either whole or not there.

use std::io::Write;
use std::path::Path;

use crate::Error;

/// Write `bytes` to a temporary file beside `path`, sync it and rename it, so that neither a reader nor
/// a crash ever sees half a file. Missing parent folders are made.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(Error::io("make the folder", folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".flora-");
    // `tempfile` makes files private to the user; results are meant to be shared like any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(Error::io("write in the folder", folder))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}
