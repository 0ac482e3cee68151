use std::path::PathBuf;

use thiserror::Error;

use super::{clock_remedy, is_refused};
use crate::LinkError;

/// Why a server's run cannot continue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An error of the connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A message that cannot be encoded.
    #[error("a message cannot be sent: {0}")]
    Codec(#[from] crate::CodecError),
    /// A malformed reply.
    #[error(transparent)]
    Object(#[from] crate::objects::ObjectError),
    /// Another process serves the run.
    #[error(
        "{url} did not assign the run to this process. Start the SuperLink with --isolation process: otherwise it \
         starts a Flower process for each run"
    )]
    Taken {
        /// The SuperLink.
        url: String,
    },
    /// The SuperLink assigned somebody else's run.
    #[error(
        "the SuperLink assigned run {run_id} instead, which was started elsewhere and has no server. Stop that run \
         with `flwr stop {run_id}`, and try again"
    )]
    Foreign {
        /// The other run.
        run_id: u64,
    },
    /// The SuperLink loses the messages that it is sent.
    #[error(
        "{url} does not store the messages it is sent. Look for the reason in its log: its disk may be full"
    )]
    NotStored {
        /// The SuperLink.
        url: String,
    },
    /// The SuperLink ended the run.
    #[error(
        "the SuperLink ended the run or lost it: somebody stopped it (flwr stop), the SuperLink received no heartbeat \
         from this server for a minute, or it was restarted without --database"
    )]
    Over,
    /// The file of the SuperLink's secret cannot be used.
    #[error("--superexec-auth-secret-file {}: {problem}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The SuperLink requires a secret, or a different one.
    #[error("{url} does not allow this process to serve runs. {remedy}")]
    SecretRefused {
        /// The SuperLink.
        url: String,
        /// The remedy.
        remedy: String,
    },
    /// A reply was announced and has not arrived yet.
    #[error("a reply is on its way")]
    NotYet,
    /// A reply was announced and never arrived.
    #[error("the SuperLink does not have all of a reply")]
    Lost,
}

impl ServerError {
    pub(crate) fn secret_refused(url: String, is_given: bool, skew: Option<f64>) -> Self {
        let remedy = match skew {
            Some(skew) if is_given && is_refused(skew) => clock_remedy(skew),
            _ if is_given => "Give the same --superexec-auth-secret-file as to the SuperLink, byte for byte".to_owned(),
            _ => "It was started with --superexec-auth-secret-file: give the same file to `flora serve`".to_owned(),
        };
        Self::SecretRefused { url, remedy }
    }
}
