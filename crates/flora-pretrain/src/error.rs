use std::path::Path;

use flora_clip::ClipError;

/// Errors of pretraining.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainError {
    /// A field of the configuration is invalid.
    #[error("{field}: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// The problem, and valid values.
        problem: String,
    },
    /// A file is missing, unreadable or malformed.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// The problem and, where known, the remedy.
        problem: String,
    },
    /// An error of the model, its tokenizer or its files.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The training ended before its last epoch.
    #[error("training stopped: {0}")]
    Stopped(String),
}

impl PretrainError {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.display().to_string(), problem: problem.into() }
    }
}
