//! Small files that describe large ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::ClipError;

/// The largest accepted file: a tokenizer of CLIP's size takes 4 MB.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a text file of at most 64 MiB.
pub(crate) fn read_small(path: &Path) -> Result<String, ClipError> {
    let read = |error| ClipError::read(path, error);
    let mut text = String::new();
    // Opening a named pipe would block.
    if !path.metadata().map_err(read)?.is_file() {
        return Err(ClipError::file(path, "not a regular file"));
    }
    let file = File::open(path).map_err(read)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(ClipError::file(path, "larger than 64 MiB; this cannot be a model's"));
    }
    Ok(text)
}

/// Reads a file of at most 64 MiB with a JSON object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, ClipError> {
    serde_json::from_str(&read_small(path)?)
        .map_err(|error| ClipError::file(path, format!("not a JSON object: {error}")))
}

/// Writes a file atomically.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), ClipError> {
    flora_core::files::write_atomic(path, text.as_bytes())
        .map_err(|error| ClipError::file(path, format!("cannot be written: {error}")))
}
