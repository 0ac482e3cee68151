use std::io;

use crate::pickle::PickleError;

/// Errors of reading a PyTorch file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// The operating system cannot read the file.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file has an unsupported format, or is damaged.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// The problem and, where known, the remedy.
        problem: String,
    },
    /// The pickle that describes the tensors is damaged, or does something that a state dict does not need.
    #[error("{path}: pickle, byte {offset}: {problem}")]
    Pickle {
        /// The file.
        path: String,
        /// The offset in the pickle (in an archive: in its `data.pkl`).
        offset: usize,
        /// The problem.
        problem: String,
    },
    /// A tensor is missing, damaged or of an unsupported kind.
    #[error("{path}: tensor {tensor:?}: {problem}")]
    Tensor {
        /// The file.
        path: String,
        /// The tensor's name, shortened.
        tensor: String,
        /// The problem and, where known, the remedy.
        problem: String,
    },
}

impl TorchError {
    pub(crate) fn read(path: &str, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn file(path: &str, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn pickle(path: &str, error: PickleError) -> Self {
        Self::Pickle { path: path.to_owned(), offset: error.offset, problem: error.problem }
    }

    pub(crate) fn tensor(path: &str, tensor: &str, problem: impl Into<String>) -> Self {
        let tensor = shorten(tensor).to_owned();
        Self::Tensor { path: path.to_owned(), tensor, problem: problem.into() }
    }
}

/// The beginning of a text of any length, for a message.
pub(crate) fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
