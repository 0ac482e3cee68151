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
    /// Images that cannot be read, or that the model cannot take.
    #[error("{}", unreadable(problems, *kept, *rows, partial.as_deref()))]
    Unreadable {
        /// Each image, and what is wrong with it.
        problems: Vec<String>,
        /// Rows of the whole batches before the first of them.
        kept: usize,
        /// Images that were asked for.
        rows: usize,
        /// Where the rows are kept, if they are.
        partial: Option<String>,
    },
    /// A disk that has no room for what is to be kept.
    #[error(
        "the states below the first adapter take {size}, of which {needed} are still to be written; with 1 % to spare, \
         that is more than the {free} that are free in {folder}"
    )]
    NoRoom {
        /// How large they are, and why.
        size: String,
        /// What is still to be written.
        needed: String,
        /// What is free.
        free: String,
        /// Where.
        folder: String,
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

/// A line for each of the first problems, and what to do.
fn unreadable(problems: &[String], kept: usize, rows: usize, partial: Option<&str>) -> String {
    const SHOWN: usize = 20;
    let mut text = format!("{} of {rows} images cannot be used:", problems.len());
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&format!("\n  {problem}"));
    }
    if problems.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", problems.len() - SHOWN));
    }
    text.push_str("\nmend, convert or remove these files");
    if let Some(partial) = partial {
        text.push_str(&format!(
            ", and the same call goes on: {kept} of {rows} rows are kept in {partial}"
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
