use std::path::Path;

use flora_clip::ClipError;

/// What can go wrong in pretraining.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainError {
    /// A field of the configuration makes no sense.
    #[error("{field}: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A file is missing, unreadable or holds what it should not.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it and, where known, what to do.
        problem: String,
    },
    /// The model, its tokenizer or its files.
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
