//! The known nodes and their names: a file in the format of OpenSSH's `authorized_keys`.
//!
//! ```text
//! # our hospitals
//! ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTIt... north
//! ```
//!
//! Such lines are in the `.pub` files of keys: `cat *.pub > names`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::key::{KeyError, PublicKey};

/// The longest name, in characters.
const LONGEST: usize = 100;

/// Names by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    by_key: BTreeMap<PublicKey, String>,
}

/// Why a file of names is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NamesError {
    /// The file could not be read.
    #[error("cannot read the names {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A line holds no key.
    #[error("{}:{line}: {source}; a line is `ecdsa-sha2-nistp384 AAAA... NAME`", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The problem with the key.
        source: KeyError,
    },
    /// A name that is not allowed.
    #[error("{}:{line}: {problem}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The problem and the remedy.
        problem: String,
    },
}

impl Names {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a line that is not a key and a name, a name that is empty, longer than 100
    /// characters or has control characters, and a duplicate key or name.
    pub fn load(path: &Path) -> Result<Self, NamesError> {
        let text = flora_core::files::read_text(path);
        let text = text.map_err(|source| NamesError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Like [`load`](Self::load), from the text of a file; `path` is for errors.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn parse(text: &str, path: &Path) -> Result<Self, NamesError> {
        let mut by_key = BTreeMap::new();
        let mut lines_of_names = HashMap::new();
        let mut lines_of_keys = HashMap::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (key, name) = PublicKey::from_openssh(text).map_err(|source| NamesError::Key {
                path: path.to_owned(),
                line,
                source,
            })?;
            let refuse = |problem| NamesError::Name { path: path.to_owned(), line, problem };
            check(&name).map_err(|problem| refuse(problem.to_owned()))?;
            if let Some(other) = lines_of_names.insert(name.clone(), line) {
                let problem = format!(
                    "the name `{name}` is in line {other}, too; give each key a name of its own"
                );
                return Err(refuse(problem));
            }
            if let Some(other) = lines_of_keys.insert(key.fingerprint(), line) {
                return Err(refuse(format!(
                    "the key is in line {other}, too; remove one of the two lines"
                )));
            }
            by_key.insert(key, name);
        }
        Ok(Self { by_key })
    }

    /// The name of a key.
    pub fn name(&self, key: &PublicKey) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the key has no name; add one after it");
    }
    if name.chars().count() > LONGEST {
        return Err("the name is longer than 100 characters; shorten it");
    }
    if name.chars().any(char::is_control) {
        return Err("the name has control characters; remove them");
    }
    Ok(())
}
