use std::{io, path::PathBuf};

use thiserror::Error;

use super::Dtype;

/// What can be wrong with a record, its bytes, or its file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The number of values is not the product of the shape.
    #[error("a tensor of shape {shape:?} needs {expected} values, but {actual} were given")]
    Length {
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// The product of the shape.
        expected: usize,
        /// How many values there were.
        actual: usize,
    },
    /// The number of bytes is not what shape and element type need.
    #[error("a {dtype} tensor of shape {shape:?} needs {expected} bytes, but {actual} were given")]
    Bytes {
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// The element type.
        dtype: Dtype,
        /// How many bytes these need.
        expected: usize,
        /// How many bytes there were.
        actual: usize,
    },
    /// The product of the shape, in bytes, does not fit in memory addresses.
    #[error("a tensor of shape {shape:?} is larger than this machine can address")]
    TooLarge {
        /// The shape that was asked for.
        shape: Vec<usize>,
    },
    /// A name was inserted twice.
    #[error("the record already holds a tensor named `{name}`: every name may occur once")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// safetensors keeps this key for the file's metadata.
    #[error("`{name}` cannot name a tensor: the safetensors format reserves it")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// An expected tensor is not there.
    #[error("tensor `{name}` is missing from the record (expected shape {shape:?})")]
    Missing {
        /// The name.
        name: String,
        /// The shape that it should have.
        shape: Vec<usize>,
    },
    /// There is a tensor that nobody expects.
    #[error("the record holds an unexpected tensor `{name}` of shape {shape:?}")]
    Unexpected {
        /// The name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor has another shape than expected.
    #[error("tensor `{name}` has shape {actual:?}, expected {expected:?}")]
    Shape {
        /// The name.
        name: String,
        /// The shape that it has.
        actual: Vec<usize>,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// A tensor has another element type than expected.
    #[error("tensor `{name}` has element type {actual}, expected {expected}")]
    Dtype {
        /// The name.
        name: String,
        /// The element type that it has.
        actual: Dtype,
        /// The element type that it should have.
        expected: Dtype,
    },
    /// A tensor holds NaN or an infinity.
    #[error("tensor `{name}` holds {value} at flat index {index}: every value must be finite")]
    NotFinite {
        /// The name.
        name: String,
        /// Position of the first such value, row-major.
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
        "not a whole safetensors file: {0}; it is damaged, cut off or of another format: copy or \
         download it again"
    )]
    Format(String),
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file was read, but its content is refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<RecordError>,
    },
}
