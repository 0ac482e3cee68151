use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use flora_core::files::write_atomic;
use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::key::public_path;

/// The folder of a node's state, locked while in use: two nodes with one key would take each other's messages.
#[derive(Debug)]
pub struct NodeFolder {
    path: PathBuf,
    key: PathBuf,
    superlink: String,
    _lock: File,
}

const FILE: &str = "node.json";
const LOCK: &str = "node.lock";

#[derive(Serialize, Deserialize)]
struct Remembered {
    superlink: String,
    node_id: u64,
}

impl NodeFolder {
    /// Creates or opens the folder `path` of the node with the key in the file `key`, for a connection to `superlink`.
    ///
    /// # Errors
    /// [`NodeError::Folder`], or [`NodeError::Locked`] if another node uses the folder.
    pub fn open(
        path: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        superlink: &str,
    ) -> Result<Self, NodeError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(NodeError::folder(&path))?;
        let lock = path.join(LOCK);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(NodeError::folder(&lock))?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Err(NodeError::Locked { path }),
            // A file system without locks.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
        }
        Ok(Self { path, key: key.into(), superlink: superlink.to_owned(), _lock: file })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file for the SuperLink's operator.
    pub(crate) fn public_key_path(&self) -> PathBuf {
        public_path(&self.key)
    }

    /// The last id that this SuperLink gave the node.
    pub(crate) fn remembered(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(FILE)).ok()?;
        let remembered: Remembered = serde_json::from_str(&text).ok()?;
        (remembered.superlink == self.superlink).then_some(remembered.node_id)
    }

    pub(crate) fn remember(&self, node_id: u64) -> Result<(), NodeError> {
        let remembered = Remembered { superlink: self.superlink.clone(), node_id };
        let text = serde_json::to_string_pretty(&remembered).expect("plain data");
        let path = self.path.join(FILE);
        write_atomic(&path, text.as_bytes()).map_err(NodeError::folder(&path))
    }
}
