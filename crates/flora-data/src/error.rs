//! The one error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with data. Every message says what was wrong, in which file or field, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as in "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A file or folder that should be there is not.
    #[error("there is no {what} at {}; {remedy}", path.display())]
    Missing {
        /// What was looked for, as in "image folder".
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },

    /// A TOML or JSON file that does not have the expected keys, or is not TOML or JSON at all.
    #[error("{}: {problem}; {remedy}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What the parser said, with the line.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A key of a data set's description has a value that cannot be used.
    #[error("{}: `{field}`: {problem}; {remedy}", file.display())]
    Field {
        /// The description.
        file: PathBuf,
        /// The key, as in `layout.pattern`.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// The classes of the description are not the classes of the data.
    #[error("{}: wrong class count: {problem}; {remedy}", file.display())]
    ClassCount {
        /// The description, or the image folder when there is none.
        file: PathBuf,
        /// Which class is too many or missing.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A prompt template without a place for the class name.
    #[error(
        "the template {template:?} has no `{{}}` for the class name; write one such as \"a photo of a {{}}.\""
    )]
    Template {
        /// The template.
        template: String,
    },

    /// A folder of images that nothing says how to read.
    #[error("{}: {problem}; {remedy}", path.display())]
    Unclear {
        /// The folder, or the table.
        path: PathBuf,
        /// What is missing or does not fit.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// Texts were asked for that the description does not name.
    #[error(
        "the data set {dataset:?} has no texts for its images; add a section [texts] with file, key and text to its description"
    )]
    NoTexts {
        /// The data set.
        dataset: String,
    },

    /// A domain that the data set does not have.
    #[error("the data set {dataset:?} has no domain {domain:?}; {remedy}")]
    Domain {
        /// The data set.
        dataset: String,
        /// What was asked for.
        domain: String,
        /// What to do.
        remedy: String,
    },

    /// An image of a class that is not among the classes to tell apart.
    #[error("{place} is of the class {class:?}, which is none of {classes}; {remedy}")]
    UnknownClass {
        /// An image of the class.
        place: String,
        /// The class.
        class: String,
        /// The classes to tell apart.
        classes: String,
        /// What to do.
        remedy: String,
    },

    /// A list of classes that names one twice.
    #[error("the list of classes names {class:?} twice; name each class once")]
    DoubledClass {
        /// The class.
        class: String,
    },

    /// A file that cannot be decoded as an image.
    #[error("{place} is not a readable image: {problem}; replace the file or remove it")]
    Image {
        /// The file.
        place: String,
        /// What is wrong with it, for example what the decoder said, on one line.
        problem: String,
    },

    /// A line of a list of images, or an element of an array of labels, that cannot be right.
    #[error("{}, {place}: {problem}; {remedy}", file.display())]
    Entry {
        /// The list.
        file: PathBuf,
        /// Where in the list, as in `line 17`.
        place: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A file of labels or pixels that is damaged, or of another format than it should be.
    #[error("{}: {problem}; {remedy}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A split protocol that does not exist.
    #[error(
        "there is no split protocol {0:?}; choose \"official\", \"stratified-80-20\", \"stratified-80-20:SEED\", \
         \"merged-80-20\" or \"merged-80-20:SEED\""
    )]
    Protocol(String),

    /// A partition that cannot be made from this data set.
    #[error("`partition.{field}`: {problem}; {remedy}")]
    Partition {
        /// The key of the partition, as in `min_samples`.
        field: String,
        /// The numbers that do not fit.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A client would have nothing to train on.
    #[error("{client} would have no training image: {problem}; {remedy}")]
    EmptyClient {
        /// The client's id.
        client: String,
        /// Why.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A client that is to train and does not exist.
    #[error("there is no client {client:?}; choose among {clients}")]
    Participants {
        /// What was asked for.
        client: String,
        /// Those that there are.
        clients: String,
    },

    /// A client that is to be added has the name of one that is there.
    #[error("there is a client {id:?} already; {remedy}")]
    DuplicateClient {
        /// The name.
        id: String,
        /// Who adds it, and what to do.
        remedy: String,
    },

    /// A saved partition that belongs to another data set.
    #[error("the partition does not belong to the data set {dataset:?}: {problem}; make it anew")]
    ForeignPartition {
        /// The data set's name.
        dataset: String,
        /// What does not fit.
        problem: String,
    },

    /// A file of image features that cannot be read.
    #[error(transparent)]
    Record(#[from] flora_core::RecordError),

    /// Features that must not be stored.
    #[error("the image features cannot be stored: {problem}; check the checkpoint that made them")]
    Features {
        /// What is wrong with them.
        problem: String,
    },
}

impl Error {
    /// For `map_err` on what a nested partition reports: its fields lie under `outer`.
    pub(crate) fn nested_in(self, outer: &str) -> Self {
        match self {
            Self::Partition { field, problem, remedy } => {
                Self::Partition { field: format!("{outer}.{field}"), problem, remedy }
            }
            other => other,
        }
    }

    /// For `map_err` on what a part of a layout reports: its keys lie under `layout.<part>`.
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
