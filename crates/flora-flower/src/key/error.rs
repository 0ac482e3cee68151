use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file could not be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the key {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error(
        "the private key {} may be read or changed by others than its owner (mode {mode:04o}): \
         `chmod 600` it, and make a new one if others had it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key is encrypted with a passphrase.
    #[error(
        "the private key {} is encrypted, and nobody is there to type its passphrase: use a key without one \
         (`ssh-keygen -p -f FILE` removes it from a copy)",
        path.display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error(
        "{}: {problem}; a key that fits is made by `ssh-keygen -t ecdsa -b 384 -N '' -f FILE`",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// An invalid public key.
    #[error("not a public key that a node may have: {0}")]
    Public(String),
    /// The system has no random numbers.
    #[error("the system gave no random numbers for a key: {0}")]
    Random(String),
}

impl KeyError {
    pub(super) fn format(path: &Path, problem: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), problem: problem.into() }
    }
}
