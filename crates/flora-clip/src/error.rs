use std::path::Path;

use crate::Precision;

/// Errors of loading and using a CLIP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// A file is missing, unreadable or malformed.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// The problem and, where known, the remedy.
        problem: String,
    },
    /// The weights do not fit the configuration.
    #[error("{path}: tensor {tensor:?}: {problem}")]
    Tensor {
        /// The weights file.
        path: String,
        /// The tensor's name.
        tensor: String,
        /// The problem.
        problem: String,
    },
    /// A PyTorch file cannot be used.
    #[error(transparent)]
    Torch(#[from] flora_torch::TorchError),
    /// A text cannot be turned into tokens.
    #[error("text {text:?}: {problem}")]
    Text {
        /// The text, shortened.
        text: String,
        /// The problem.
        problem: String,
    },
    /// An image cannot be preprocessed.
    #[error("image: {0}")]
    Image(String),
    /// The device does not support this precision.
    #[error(
        "precision {precision}: this device has no such numbers; choose another --precision (model.precision), or \
         --device cpu"
    )]
    Precision {
        /// The requested precision.
        precision: Precision,
    },
    /// A list of class names is unusable.
    #[error("class names: {0}")]
    Classes(String),
}

impl ClipError {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.display().to_string(), problem: problem.into() }
    }

    pub(crate) fn read(path: &Path, error: std::io::Error) -> Self {
        Self::file(path, format!("cannot be read: {error}"))
    }
}
