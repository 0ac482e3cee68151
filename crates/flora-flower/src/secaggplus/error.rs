use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a node refuses a step of SecAgg+.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecAggError {
    /// A record or a setting of the message is missing or malformed.
    #[error(
        "SecAgg+, record `{record}`: {problem}; the server may run a version of Flower that flora does not know"
    )]
    Record {
        /// The record.
        record: String,
        /// The problem.
        problem: String,
    },
    /// The message belongs to another stage.
    #[error(
        "SecAgg+: the server is at the stage `{found}`, and this node expects {expected}; the node was restarted \
         without its state, or missed a message; it takes part again in the next round"
    )]
    Stage {
        /// The expected stage.
        expected: &'static str,
        /// The stage of the message.
        found: String,
    },
    /// A setting of the workflow that is invalid, or that a node should not accept.
    #[error("SecAgg+: the server's setting `{setting}` of SecAggPlusWorkflow {problem}")]
    Setting {
        /// The parameter of `SecAggPlusWorkflow`.
        setting: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
    /// The server's lists of nodes, keys or shares are inconsistent.
    #[error("SecAgg+: {0}")]
    Refused(String),
    /// The weighted parameters exceed the range in which they are summed. The error omits the value itself: it goes to
    /// the server, from which parameters are hidden.
    #[error(
        "SecAgg+: {array}, element {element}: its value times this site's weight is beyond the clipping range of \
         {clipping_range}, where Flower would cut it off without a word; raise clipping_range of SecAggPlusWorkflow to \
         {enough}, or its max_weight, which makes the weights smaller"
    )]
    Range {
        /// The array's name at this site.
        array: String,
        /// The index of the element, row-major, from 0.
        element: usize,
        /// The server's setting.
        clipping_range: f64,
        /// The setting, doubled until this site's parameters fit.
        enough: f64,
    },
    /// The result of the training cannot be sent.
    #[error("SecAgg+: {0}")]
    Answer(String),
    /// A saved state that cannot be read.
    #[error(
        "SecAgg+: the saved state {0}; delete it, and the node takes part again in the next round"
    )]
    State(&'static str),
    /// The file of a state cannot be read, written or removed.
    #[error("SecAgg+: the saved state {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("SecAgg+: the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl SecAggError {
    pub(super) fn record(record: &str, problem: impl Into<String>) -> Self {
        Self::Record { record: record.to_owned(), problem: problem.into() }
    }

    pub(super) fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting { setting, problem: problem.into() }
    }
}

/// Why lists may be inconsistent.
pub(super) const CHANGED: &str =
    "the server's messages were changed, or it means to see this site's parameters";

pub(super) fn too_few(left: usize, threshold: u32) -> SecAggError {
    SecAggError::Refused(format!(
        "too few nodes are left: {left} of this node's neighbours, and the threshold is {threshold}; start more nodes, \
         or lower reconstruction_threshold of SecAggPlusWorkflow"
    ))
}

/// A [`SecAggError::Refused`].
pub(super) fn refuse<T>(problem: impl Into<String>) -> Result<T, SecAggError> {
    Err(SecAggError::Refused(problem.into()))
}
