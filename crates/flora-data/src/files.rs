//! [`flora_core::files`] with this crate's errors.

use std::path::Path;

use crate::Error;

/// Writes a file atomically; missing parent folders are created.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    flora_core::files::write_atomic(path, bytes).map_err(Error::io("write", path))
}
