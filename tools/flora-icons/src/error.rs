//! Everything that can go wrong while a data set is prepared.

use std::path::PathBuf;

/// What was wrong, in which file, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An input file of a package is not in the packages folder.
    #[error(
        "`{file}` of the npm package `{package}` is not under {}; install it there with\n  {}",
        root.display(),
        crate::packages::INSTALL_COMMAND
    )]
    MissingInput {
        /// The npm package.
        package: &'static str,
        /// The path inside the package.
        file: String,
        /// The folder that was searched.
        root: PathBuf,
    },
    /// The Debian package of clip art is not where it was said to be.
    #[error(
        "there is no folder `usr/share/openclipart/svg` in {root}; fetch Debian's clip art and unpack it there with\n  \
         apt-get download openclipart-svg && dpkg-deb -R openclipart-svg_*.deb {root}",
        root = root.display()
    )]
    MissingClipArt {
        /// The folder that was searched.
        root: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file is JSON of another shape than the package is known to have.
    #[error(
        "{} is not what the package should hold: {source}; use the pinned versions:\n  {}",
        path.display(),
        crate::packages::INSTALL_COMMAND
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped.
        source: serde_json::Error,
    },
    /// The package does not fit the tables of this program.
    #[error("{subject}: {message}")]
    Mismatch {
        /// The set, class or file.
        subject: String,
        /// What does not fit and what to do.
        message: String,
    },
    /// A set in the source table has a licence that training data must not have.
    #[error(
        "icon set `{set}` is under `{licence}`, which is not on the list of free licences; take it out of sources.rs"
    )]
    Licence {
        /// The prefix of the icon set.
        set: String,
        /// Its SPDX identifier.
        licence: String,
    },
    /// An icon is not an SVG that can be rendered.
    #[error("icon `{set}:{icon}` cannot be rendered: {message}")]
    Render {
        /// The prefix of the icon set.
        set: String,
        /// The icon.
        icon: String,
        /// What the renderer said.
        message: String,
    },
}

impl Error {
    /// Wraps an I/O error of a write to `path`.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }

    /// A table of this program and the package disagree.
    pub(crate) fn mismatch(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Mismatch { subject: subject.into(), message: message.into() }
    }
}

/// The result of every fallible function here.
pub(crate) type Result<T> = std::result::Result<T, Error>;
