use std::{io, path::PathBuf};

use thiserror::Error;

/// What can be wrong with a run folder, with the scores of a classifier, or with a figure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The path is taken by a file.
    #[error("{} is not a folder: choose another output folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The folder holds an earlier run that is to be kept.
    #[error(
        "{} holds an earlier run: choose another output folder, or allow it to be replaced",
        path.display()
    )]
    HoldsRun {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error(
        "{} is not empty and is not a run folder: choose a new or empty output folder",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A living process writes the run in the folder.
    #[error(
        "{} is in use by another process of flora: wait until it has ended, or choose another output folder",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A run is to go on, and there is none.
    #[error(
        "{} holds no run: a run folder has the files experiment.toml and metrics.jsonl",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Folders without a page.
    #[error("{}: {problem}", path.display())]
    NotReported {
        /// The first such folder.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// The server of pages cannot listen.
    #[error(
        "cannot serve on port {port} of this machine: {problem}; choose another port, or 0 for any that is free"
    )]
    Serve {
        /// The port that was asked for.
        port: u16,
        /// The operating system's reason.
        problem: String,
    },
    /// A run that is named neither by its folder nor by its name below `runs`.
    #[error(
        "{name}: no such run: neither {name} nor runs/{name} is a run folder (`flora runs` lists them)"
    )]
    NoSuchRun {
        /// What was asked for.
        name: String,
    },
    /// The events of a run are not those that its saved state goes with.
    #[error(
        "{} was cut or changed since the run's state was saved: {problem}; restore the file, or start the run anew",
        path.display()
    )]
    EventsChanged {
        /// The file.
        path: PathBuf,
        /// How it differs.
        problem: String,
    },
    /// A file of the run would lie outside of its folder.
    #[error("`{name}` is not the name of a file in the run folder: give a plain name")]
    Name {
        /// The name that was asked for.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{}{}: {source}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1, in a file of JSON lines.
        line: Option<usize>,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The states that a run is resumed from.
    #[error(transparent)]
    State(#[from] flora_federation::StateError),
    /// A file whose checksum is not the one that was written with it.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, and what to do.
        problem: String,
    },
    /// A file that a saved state does not belong to.
    #[error(
        "{} is not the one with which the state of this run was saved: put the original back, or start a \
         new run in another folder",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A list of classes that cannot be reported on.
    #[error("classes: {0}")]
    Classes(String),
    /// The scores or the true class of one image.
    #[error("image {image} (counted from 0): {problem}")]
    Scores {
        /// Its number, in the order in which images were added.
        image: u64,
        /// What is wrong.
        problem: String,
    },
    /// Scores that are no matrix of images and classes, or none at all.
    #[error("scores: {0}")]
    Shape(String),
    /// A table that cannot be written as CSV.
    #[error("cannot write CSV: {problem}")]
    Csv {
        /// What the writer says.
        problem: String,
    },
    /// Something that cannot be drawn.
    #[error("{figure}: {problem}")]
    Figure {
        /// Which figure.
        figure: &'static str,
        /// What is wrong with its contents.
        problem: String,
    },
}

impl ReportError {
    /// Wraps an error of the operating system: "cannot `action` `path`".
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
