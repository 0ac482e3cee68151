//! [`flora_core::files`] with this crate's errors.

use std::path::Path;

use crate::Error;

/// Write a file that is either whole or not there; missing parent folders are made.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    flora_core::files::write_atomic(path, bytes).map_err(Error::io("write", path))
}
