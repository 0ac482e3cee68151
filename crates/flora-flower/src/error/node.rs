use std::path::PathBuf;

use thiserror::Error;

use crate::LinkError;

/// Why a node cannot continue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// An error of the connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A malformed message.
    #[error(transparent)]
    Object(#[from] crate::objects::ObjectError),
    /// The operator has not registered the key.
    #[error(
        "this node is not registered, and the SuperLink accepts registered nodes only. Send {} to its operator, who runs \
         `flwr supernode register {} CONNECTION`, where CONNECTION is the SuperLink's name in the operator's Flower \
         configuration",
        key.display(),
        key.file_name().unwrap_or_default().display()
    )]
    NotRegistered {
        /// The file of the public key.
        key: PathBuf,
    },
    /// The node's folder cannot be used.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The problem.
        problem: std::io::Error,
    },
    /// Another node uses the folder.
    #[error(
        "{}: another node uses this folder; stop that node, or name another folder with --state",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The SuperLink no longer has the content of a message.
    #[error("the SuperLink no longer has the content of the message")]
    Gone,
}

impl NodeError {
    pub(crate) fn folder(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |problem| Self::Folder { path: path.clone(), problem }
    }
}
