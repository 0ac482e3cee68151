use std::{io, path::PathBuf};

use thiserror::Error;

/// Errors of run folders, classification scores, figures and pages.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The path is taken by a file.
    #[error("{} is not a folder: choose another output folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The folder holds an earlier run, which must not be replaced.
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
    /// A running process is writing to the folder.
    #[error(
        "{} is in use by another process of flora: wait until it has ended, or choose another output folder",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A run is to be resumed, but the folder holds none.
    #[error(
        "{} holds no run: a run folder has the files experiment.toml and metrics.jsonl",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// No page can be made of these folders.
    #[error("{}: {problem}", path.display())]
    NotReported {
        /// The first of them.
        path: PathBuf,
        /// The reason and the remedy.
        problem: String,
    },
    /// The server of pages cannot listen.
    #[error(
        "cannot serve on port {port} of this machine: {problem}; choose another port, or 0 for any that is free"
    )]
    Serve {
        /// The requested port.
        port: u16,
        /// The operating system's reason.
        problem: String,
    },
    /// A run that is named neither by its folder nor by its name below `runs`.
    #[error(
        "{name}: no such run: neither {name} nor runs/{name} is a run folder (`flora runs` lists them)"
    )]
    NoSuchRun {
        /// The requested name.
        name: String,
    },
    /// The events of a run do not match its saved state.
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
    /// A file of the run would be outside its folder.
    #[error("`{name}` is not the name of a file in the run folder: give a plain name")]
    Name {
        /// The requested file name.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file is not valid JSON of the expected form.
    #[error("{}{}: {source}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line number, from 1, in a file of JSON lines.
        line: Option<usize>,
        /// The parser's message.
        source: serde_json::Error,
    },
    /// An error of the saved states of a run.
    #[error(transparent)]
    State(#[from] flora_federation::StateError),
    /// A file that does not match its recorded checksum.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mismatch and the remedy.
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
    /// An invalid list of classes.
    #[error("classes: {0}")]
    Classes(String),
    /// Invalid scores or an invalid true class of one image.
    #[error("image {image} (counted from 0): {problem}")]
    Scores {
        /// Its number, in the order in which images were added.
        image: u64,
        /// What is wrong.
        problem: String,
    },
    /// Scores that do not form a matrix of images and classes, or no scores.
    #[error("scores: {0}")]
    Shape(String),
    /// A table that cannot be written as CSV.
    #[error("cannot write CSV: {problem}")]
    Csv {
        /// The writer's message.
        problem: String,
    },
    /// A figure that cannot be drawn.
    #[error("{figure}: {problem}")]
    Figure {
        /// The figure.
        figure: &'static str,
        /// The problem with its contents.
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
