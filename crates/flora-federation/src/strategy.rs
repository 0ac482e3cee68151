use flora_core::{ParameterRecord, RecordError};
use thiserror::Error;

use crate::{ClientError, FitReply, Metrics};

/// The rule that makes the next global record from the clients' replies.
///
/// Pure host arithmetic: the result may depend on what the replies hold, never on the order in
/// which they arrived.
pub trait Strategy: Send {
    /// The name in experiment files and events, such as `fedavg`.
    fn name(&self) -> &'static str;

    /// Whether there is a global model at all. Without one, nothing needs to be sent: no bytes are counted,
    /// and evaluations are told as those of the clients' own models.
    fn shares(&self) -> bool {
        true
    }

    /// The global record after `round`, from the one that was sent (`current`) and the replies.
    ///
    /// # Errors
    /// [`StrategyError`] if no next record can be made.
    fn aggregate(
        &mut self,
        round: usize,
        current: &ParameterRecord,
        replies: &[FitReply],
    ) -> Result<Aggregate, StrategyError>;
}

/// What a strategy made of a round's replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The next global record: names, shapes and element types as before.
    pub parameters: ParameterRecord,
    /// The replies' metrics as one, and whatever the strategy measures.
    pub metrics: Metrics,
    /// Replies that were left out, sorted by client, and why.
    pub rejected: Vec<ClientError>,
}

/// Why a strategy has no next record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// There was nothing to aggregate.
    #[error("there are no replies to aggregate")]
    NoReplies,
    /// Every reply had to be left out.
    #[error("every reply had to be left out; the first: {}", rejected[0])]
    AllRejected {
        /// All of them, at least one, sorted by client.
        rejected: Vec<ClientError>,
    },
    /// The weights are all zero.
    #[error("the replies stand for 0 training examples, so they have no weight in an average")]
    NoExamples,
    /// A client would count twice.
    #[error("client {id} replied more than once in a round")]
    DuplicateReply {
        /// The client.
        id: String,
    },
    /// The result is not a valid record.
    #[error("the aggregate is not a valid record: {0}")]
    Record(#[from] RecordError),
}
