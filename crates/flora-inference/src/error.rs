use std::path::Path;

use flora_clip::ClipError;
use flora_lora::LoraError;

/// Errors of using a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// An error of the checkpoint, or of an image or text.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// An error of the adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// An error of the data set.
    #[error(transparent)]
    Data(#[from] flora_data::Error),
    /// A file that is missing, cannot be used or cannot be written.
    #[error("{path}: {problem}")]
    File {
        /// The file or folder.
        path: String,
        /// The problem and, where known, the remedy.
        problem: String,
    },
    /// Images that cannot be read, or that the model cannot process.
    #[error("{}", unreadable(problems, *kept, *rows, partial.as_deref()))]
    Unreadable {
        /// Each image, with its problem.
        problems: Vec<String>,
        /// The number of rows in whole batches before the first of them.
        kept: usize,
        /// The number of requested images.
        rows: usize,
        /// The file that keeps the rows, if there is one.
        partial: Option<String>,
    },
    /// A disk without room for the results.
    #[error(
        "the states below the first adapter take {size}, of which {needed} are still to be written; with 1 % to spare, \
         that is more than the {free} that are free in {folder}"
    )]
    NoRoom {
        /// Their size, and how it was computed.
        size: String,
        /// The size of the part still to be written.
        needed: String,
        /// The free space.
        free: String,
        /// The folder.
        folder: String,
    },
    /// An image of a data set that the model cannot process.
    #[error("{place}: {error}")]
    Image {
        /// The image.
        place: String,
        /// The problem.
        error: ClipError,
    },
}

/// One line for each of the first problems, and the remedy.
fn unreadable(problems: &[String], kept: usize, rows: usize, partial: Option<&str>) -> String {
    const SHOWN: usize = 20;
    let mut text = format!("{} of {rows} images cannot be used:", problems.len());
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&format!("\n  {problem}"));
    }
    if problems.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", problems.len() - SHOWN));
    }
    text.push_str("\nrepair, convert or remove these files");
    if let Some(partial) = partial {
        text.push_str(&format!(
            ", and the same call resumes: {kept} of {rows} rows are kept in {partial}"
        ));
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
