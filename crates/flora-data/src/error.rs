//! The error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of data sets. Every message names the problem, the file or field, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system reported an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action, as in "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },

    /// A required file or folder is missing.
    #[error("there is no {what} at {}; {remedy}", path.display())]
    Missing {
        /// The missing object, as in "image folder".
        what: &'static str,
        /// The expected path.
        path: PathBuf,
        /// The remedy.
        remedy: String,
    },

    /// A TOML or JSON file is invalid or lacks the expected keys.
    #[error("{}: {problem}; {remedy}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The parser's message, with the line.
        problem: String,
        /// The remedy.
        remedy: &'static str,
    },

    /// A key of a data set's description has an unusable value.
    #[error("{}: `{field}`: {problem}; {remedy}", file.display())]
    Field {
        /// The description.
        file: PathBuf,
        /// The key, as in `layout.pattern`.
        field: String,
        /// The problem.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// The classes of the description differ from those of the data.
    #[error("{}: wrong class count: {problem}; {remedy}", file.display())]
    ClassCount {
        /// The description, or the image folder if there is none.
        file: PathBuf,
        /// The surplus or missing class.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// A prompt template has no placeholder for the class name.
    #[error(
        "the template {template:?} has no `{{}}` for the class name; write one such as \"a photo of a {{}}.\""
    )]
    Template {
        /// The template.
        template: String,
    },

    /// The layout of an image folder cannot be determined.
    #[error("{}: {problem}; {remedy}", path.display())]
    Unclear {
        /// The folder, or the table.
        path: PathBuf,
        /// The problem.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// The description names no texts, but they were requested.
    #[error(
        "the data set {dataset:?} has no texts for its images; add a section [texts] with file, key and text to its description"
    )]
    NoTexts {
        /// The data set.
        dataset: String,
    },

    /// The data set does not have this domain.
    #[error("the data set {dataset:?} has no domain {domain:?}; {remedy}")]
    Domain {
        /// The data set.
        dataset: String,
        /// The requested domain.
        domain: String,
        /// The remedy.
        remedy: String,
    },

    /// An image's class is not in the list of classes.
    #[error("{place} is of the class {class:?}, which is not one of {classes}; {remedy}")]
    UnknownClass {
        /// An image of the class.
        place: String,
        /// The class.
        class: String,
        /// The list of classes.
        classes: String,
        /// The remedy.
        remedy: String,
    },

    /// A list of classes contains one twice.
    #[error("the list of classes names {class:?} twice; name each class once")]
    DoubledClass {
        /// The class.
        class: String,
    },

    /// A file cannot be decoded as an image.
    #[error("{place} is not a readable image: {problem}; replace the file or remove it")]
    Image {
        /// The file.
        place: String,
        /// The problem, for example the decoder's message, on one line.
        problem: String,
    },

    /// A line of a list of images, or an element of an array of labels, is invalid.
    #[error("{}, {place}: {problem}; {remedy}", file.display())]
    Entry {
        /// The list.
        file: PathBuf,
        /// The position in the list, as in `line 17`.
        place: String,
        /// The problem.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// A file of labels or pixels is damaged, or has another format.
    #[error("{}: {problem}; {remedy}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The problem.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// The split protocol does not exist.
    #[error(
        "there is no split protocol {0:?}; choose \"official\", \"stratified-80-20\", \"stratified-80-20:SEED\", \
         \"merged-80-20\" or \"merged-80-20:SEED\""
    )]
    Protocol(String),

    /// The partition is not possible for this data set.
    #[error("`partition.{field}`: {problem}; {remedy}")]
    Partition {
        /// The key of the partition, as in `min_samples`.
        field: String,
        /// The numbers that do not fit.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// A client would have no training images.
    #[error("{client} would have no training image: {problem}; {remedy}")]
    EmptyClient {
        /// The client's id.
        client: String,
        /// The reason.
        problem: String,
        /// The remedy.
        remedy: String,
    },

    /// A participating client does not exist.
    #[error("there is no client {client:?}; choose among {clients}")]
    Participants {
        /// The requested client.
        client: String,
        /// The existing clients.
        clients: String,
    },

    /// A client to be added has the name of an existing one.
    #[error("there is a client {id:?} already; {remedy}")]
    DuplicateClient {
        /// The name.
        id: String,
        /// The source of the duplicate, and the remedy.
        remedy: String,
    },

    /// A saved partition belongs to another data set.
    #[error("the partition does not belong to the data set {dataset:?}: {problem}; make it anew")]
    ForeignPartition {
        /// The data set's name.
        dataset: String,
        /// The mismatch.
        problem: String,
    },

    /// A file of image features cannot be read.
    #[error(transparent)]
    Record(#[from] flora_core::RecordError),

    /// Features must not be stored.
    #[error("the image features cannot be stored: {problem}; check the checkpoint that made them")]
    Features {
        /// The problem.
        problem: String,
    },
}

impl Error {
    /// For `map_err` on errors of a nested partition: prefixes its fields with `outer`.
    pub(crate) fn nested_in(self, outer: &str) -> Self {
        match self {
            Self::Partition { field, problem, remedy } => {
                Self::Partition { field: format!("{outer}.{field}"), problem, remedy }
            }
            other => other,
        }
    }

    /// For `map_err` on errors of a part of a layout: prefixes its keys with `layout.<part>`.
    pub(crate) fn in_layout_part(self, part: &str) -> Self {
        match self {
            Self::Field { file, field, problem, remedy } => {
                let field = match field.strip_prefix("layout.") {
                    Some(key) => format!("layout.{part}.{key}"),
                    None => field,
                };
                Self::Field { file, field, problem, remedy }
            }
            other => other,
        }
    }

    /// For `map_err` on input and output.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
