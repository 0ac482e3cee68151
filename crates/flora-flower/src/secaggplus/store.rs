//! Storage of states between two messages.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{SecAggError, SecAggNode};

/// A folder with one file per run with a round in progress. Only its owner can read the files.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// Stores states in `folder`, which is created for the first one.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The node's state in a run; a new one if there is none, or if the node had another id.
    ///
    /// # Errors
    ///
    /// [`SecAggError::File`] and [`SecAggError::State`] for a file that cannot be read or is damaged.
    pub fn load(&self, run_id: u64, node_id: u64) -> Result<SecAggNode, SecAggError> {
        let path = self.path(run_id);
        match std::fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => {
                let node = SecAggNode::from_bytes(&bytes)?;
                // A SuperLink that was set up anew gave the node another id.
                Ok(if node.id() == node_id { node } else { SecAggNode::new(node_id) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SecAggNode::new(node_id)),
            Err(source) => Err(SecAggError::File { path, source }),
        }
    }

    /// Stores the state atomically. Call it before a reply is sent. After the end of a round, there is no state to
    /// store, and the file is removed.
    ///
    /// # Errors
    ///
    /// [`SecAggError::File`]
    pub fn save(&self, run_id: u64, node: &SecAggNode) -> Result<(), SecAggError> {
        if node.is_idle() {
            return self.forget(run_id);
        }
        let path = self.path(run_id);
        self.write(&path, &node.to_bytes()).map_err(|source| SecAggError::File { path, source })
    }

    /// Removes the state of a run, if there is any.
    ///
    /// # Errors
    ///
    /// [`SecAggError::File`]
    pub fn forget(&self, run_id: u64) -> Result<(), SecAggError> {
        let path = self.path(run_id);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(SecAggError::File { path, source })
            }
            _ => Ok(()),
        }
    }

    fn path(&self, run_id: u64) -> PathBuf {
        self.0.join(format!("{run_id}.state"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        // Like all files of `tempfile`, it is readable only by its owner.
        let mut file = tempfile::Builder::new().prefix(".flora-").tempfile_in(&self.0)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}
