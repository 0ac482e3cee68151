use std::{io, path::PathBuf};

use thiserror::Error;

use super::Dtype;

/// Errors of a record, its bytes or its file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The number of values is not the product of the shape.
    #[error("a tensor of shape {shape:?} needs {expected} values, but {actual} were given")]
    Length {
        /// The requested shape.
        shape: Vec<usize>,
        /// The product of the shape.
        expected: usize,
        /// The number of values given.
        actual: usize,
    },
    /// The number of bytes is not what shape and element type need.
    #[error("a {dtype} tensor of shape {shape:?} needs {expected} bytes, but {actual} were given")]
    Bytes {
        /// The requested shape.
        shape: Vec<usize>,
        /// The element type.
        dtype: Dtype,
        /// The number of bytes needed.
        expected: usize,
        /// The number of bytes given.
        actual: usize,
    },
    /// The size in bytes does not fit into the address space.
    #[error("a tensor of shape {shape:?} is larger than this machine can address")]
    TooLarge {
        /// The requested shape.
        shape: Vec<usize>,
    },
    /// A name was inserted twice.
    #[error("the record already holds a tensor named `{name}`: every name may occur once")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The safetensors format reserves this key for the file's metadata.
    #[error("`{name}` cannot name a tensor: the safetensors format reserves it")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// An expected tensor is missing.
    #[error("tensor `{name}` is missing from the record (expected shape {shape:?})")]
    Missing {
        /// The name.
        name: String,
        /// The expected shape.
        shape: Vec<usize>,
    },
    /// The record holds an unexpected tensor.
    #[error("the record holds an unexpected tensor `{name}` of shape {shape:?}")]
    Unexpected {
        /// The name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor does not have the expected shape.
    #[error("tensor `{name}` has shape {actual:?}, expected {expected:?}")]
    Shape {
        /// The name.
        name: String,
        /// The actual shape.
        actual: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// A tensor does not have the expected element type.
    #[error("tensor `{name}` has element type {actual}, expected {expected}")]
    Dtype {
        /// The name.
        name: String,
        /// The actual element type.
        actual: Dtype,
        /// The expected element type.
        expected: Dtype,
    },
    /// A tensor holds NaN or an infinity.
    #[error("tensor `{name}` holds {value} at flat index {index}: every value must be finite")]
    NotFinite {
        /// The name.
        name: String,
        /// Row-major position of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The element type is not one of f32, f16, bf16.
    #[error(
        "tensor `{name}` has element type {dtype}, but a record holds F32, F16 or BF16 only: \
         convert it before loading"
    )]
    UnsupportedDtype {
        /// The name.
        name: String,
        /// The type as safetensors names it.
        dtype: String,
    },
    /// The bytes are not a valid safetensors file.
    #[error(
        "not a valid safetensors file: {0}; it is damaged, truncated or of another format: copy or \
         download it again"
    )]
    Format(String),
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file was read, but its contents are invalid.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error in its contents.
        source: Box<RecordError>,
    },
}
