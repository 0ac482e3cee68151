use std::path::Path;

use flora_clip::ClipError;
use flora_lora::LoraError;

/// What can go wrong when a model is used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The checkpoint, or an image or a text that it cannot take.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] flora_data::Error),
    /// A file that is missing, cannot be used or cannot be written.
    #[error("{path}: {problem}")]
    File {
        /// The file or folder.
        path: String,
        /// What is wrong with it and, where known, what to do.
        problem: String,
    },
    /// Images that cannot be embedded.
    #[error(
        "{}; {kept} of {rows} rows are kept in {partial}: mend or remove these files, and the same \
         call goes on",
        shortened(problems)
    )]
    Unreadable {
        /// What is wrong with each.
        problems: Vec<String>,
        /// Rows of the whole batches before the first of them.
        kept: usize,
        /// Rows that were asked for.
        rows: usize,
        /// Where they are kept.
        partial: String,
    },
    /// An image of a data set that the model cannot take.
    #[error("{place}: {error}")]
    Image {
        /// The image.
        place: String,
        /// What is wrong with it.
        error: ClipError,
    },
}

/// The first few problems, and how many more there are.
fn shortened(problems: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > SHOWN {
        text.push_str(&format!("; and {} more", problems.len() - SHOWN));
    }
    text
}

impl InferenceError {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.display().to_string(), problem: problem.into() }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::file(path, format!("cannot be read: {error}"))
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::file(path, format!("cannot be written: {error}"))
    }
}
