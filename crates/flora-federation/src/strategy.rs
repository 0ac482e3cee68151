use std::sync::Arc;

use flora_core::{ParameterRecord, RecordError};
use thiserror::Error;

use crate::{ClientInfo, Kind, Message, Metrics, gate};

/// The global model in a round.
#[derive(Debug, Clone)]
pub struct Global {
    /// The round, from 0.
    pub round: usize,
    /// The shared parameters at the start of the round.
    pub parameters: Arc<ParameterRecord>,
}

/// A reply that passed all checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The client that trained.
    pub client: ClientInfo,
    /// The message sent to this client.
    pub sent: Message,
    /// The client's reply.
    pub message: Message,
    /// Number of training examples, the reply's weight in an average. Never more than the client registered with.
    pub num_examples: usize,
    /// The parameters of the reply: its record [`PARAMETERS`](crate::PARAMETERS).
    pub parameters: Arc<ParameterRecord>,
}

/// The server's rule: it decides what each client is sent and computes the next global parameters from the replies.
///
/// A strategy is host arithmetic on named tensors. The round loop passes it only replies that passed the checks, sorted
/// by client id, each client once, so a result never depends on the order of arrival.
///
/// A custom strategy, the coordinate-wise maximum:
///
/// ```
/// use flora_core::{HostTensor, ParameterRecord};
/// use flora_federation::{Accepted, Aggregate, Global, Strategy, StrategyError};
///
/// struct Largest;
///
/// impl Strategy for Largest {
///     fn name(&self) -> &str {
///         "largest"
///     }
///
///     fn aggregate(
///         &mut self,
///         global: &Global,
///         accepted: &[Accepted],
///     ) -> Result<Aggregate, StrategyError> {
///         let mut next = ParameterRecord::new();
///         for (name, tensor) in global.parameters.iter() {
///             let mut values = vec![f32::NEG_INFINITY; tensor.len()];
///             for answer in accepted {
///                 let theirs = answer.parameters.get(name).expect("it passed the checks").to_f32();
///                 values.iter_mut().zip(theirs.iter()).for_each(|(most, x)| *most = most.max(*x));
///             }
///             next.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
///         }
///         Ok(Aggregate::new(next))
///     }
/// }
/// ```
pub trait Strategy: Send {
    /// The name in experiment files and events, such as `fedavg`.
    fn name(&self) -> &str;

    /// The message of a [`Kind::Train`] or [`Kind::Evaluate`] task for one client; by default, the global parameters.
    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let _ = (client, kind);
        Message::parameters(Arc::clone(&global.parameters))
    }

    /// Checks the records of a client that trained. The default requires the records that were sent, with the same
    /// names, shapes and element types, and finite. A strategy with other answers overrides it.
    ///
    /// The round loop calls this for every reply, besides its own checks that no strategy can turn off: the client,
    /// the round, the number of examples, and the size of the update.
    ///
    /// # Errors
    /// The problem. The reply is excluded, and an event names the client and the reason.
    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        gate::same_records(sent, answer)
    }

    /// Computes the global parameters after the round from those at its start and the replies, of which there is at
    /// least one.
    ///
    /// # Errors
    /// [`StrategyError`] if no next parameters can be computed.
    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError>;

    /// Whether a round without replies counts. This is for private rounds, in which a skipped round would reveal who is
    /// absent: noise alone is the result. [`aggregate`](Self::aggregate) is then called without replies, and no quorum
    /// applies.
    fn counts_nobody(&self) -> bool {
        false
    }

    /// The seed for drawing clients, if clients must not know it; by default the run's seed, which they know.
    fn draw_seed(&self) -> Option<u64> {
        None
    }

    /// Why no further round may be trained, such as a spent budget. Asked before every round; the run then ends with
    /// this as a note.
    fn is_spent(&self) -> Option<String> {
        None
    }

    /// The strategy's state between rounds, so that a run can be resumed: for example a momentum as a record, a number
    /// of steps or a key as a setting.
    fn state(&self) -> Message {
        Message::default()
    }

    /// Restores the state that [`state`](Self::state) returned.
    ///
    /// # Errors
    /// A state that does not belong to this strategy.
    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        match state == Message::default() {
            true => Ok(()),
            false => Err(StrategyError::State(format!(
                "{} keeps no state, but the saved run has one",
                self.name()
            ))),
        }
    }
}

/// The result of aggregating a round's replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The next global parameters: names, shapes and element types as before, unless they are
    /// [reshaped](Self::reshaped).
    pub parameters: ParameterRecord,
    /// Metrics of the strategy. The round loop adds the example-weighted means of the clients' metrics.
    pub metrics: Metrics,
    /// Whether the parameters may have new names and shapes.
    pub is_reshaped: bool,
}

impl Aggregate {
    /// An aggregate without metrics.
    pub fn new(parameters: ParameterRecord) -> Self {
        Self { parameters, metrics: Metrics::new(), is_reshaped: false }
    }

    /// An aggregate with new names and shapes, without metrics. The clients must be able to use them.
    pub fn reshaped(parameters: ParameterRecord) -> Self {
        Self { is_reshaped: true, ..Self::new(parameters) }
    }
}

/// Problems with the records of a reply.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A record that was sent is missing from the reply.
    #[error("record `{name}` is missing from the reply")]
    Missing {
        /// The record.
        name: String,
    },
    /// The reply contains a record that was not sent.
    #[error("the reply holds an unexpected record `{name}`")]
    Unexpected {
        /// The record.
        name: String,
    },
    /// A tensor of a record is invalid.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Any other problem.
    #[error("{0}")]
    Other(String),
}

/// Why a strategy cannot compute the next parameters.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// The weights of the replies are all zero.
    #[error("the replies have 0 training examples in total, so they have no weight in an average")]
    NoExamples,
    /// The result is not a valid record.
    #[error("the aggregate is not a valid record: {0}")]
    Record(#[from] RecordError),
    /// A saved state does not fit.
    #[error("the strategy's saved state: {0}")]
    State(String),
    /// Any other problem.
    #[error("{0}")]
    Other(String),
}
