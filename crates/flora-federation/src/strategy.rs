use std::sync::Arc;

use flora_core::{ParameterRecord, RecordError};
use thiserror::Error;

use crate::{ClientInfo, Kind, Message, Metrics, gate};

/// The global model in a round.
#[derive(Debug, Clone)]
pub struct Global {
    /// The round, from 0.
    pub round: usize,
    /// The shared parameters at its start.
    pub parameters: Arc<ParameterRecord>,
}

/// An answer that passed all checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Who trained.
    pub client: ClientInfo,
    /// What was sent to this client.
    pub sent: Message,
    /// What it answered.
    pub message: Message,
    /// Training examples, the weight of the answer in an average. Never more than the client
    /// registered with.
    pub num_examples: usize,
    /// What the client sent back: the record [`PARAMETERS`](crate::PARAMETERS) of the answer.
    pub parameters: Arc<ParameterRecord>,
}

/// The server's rule: what each client is sent, and the next global parameters from what comes back.
///
/// Host arithmetic on named tensors. The round loop shows a strategy only answers that passed its
/// checks, sorted by client id, each client once, so that a result never depends on the order of
/// arrival.
///
/// A strategy of one's own, the coordinate-wise maximum:
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

    /// The message of a [`Kind::Train`] or [`Kind::Evaluate`] task for one client: the global
    /// parameters, unless the strategy says otherwise.
    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let _ = (client, kind);
        Message::parameters(Arc::clone(&global.parameters))
    }

    /// Checks the records of a client that trained: those that were sent, with the same names,
    /// shapes and element types, and finite. A strategy whose answers look otherwise says how.
    ///
    /// The round loop calls this for every answer, besides checks of its own that no strategy can
    /// turn off: who answers, which round, how many examples, and how large the update is.
    ///
    /// # Errors
    /// What is wrong. The answer is left out, and an event tells which client and why.
    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        gate::same_records(sent, answer)
    }

    /// The global parameters after the round, from those at its start and the answers; at least one.
    ///
    /// # Errors
    /// [`StrategyError`] if no next parameters can be made.
    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError>;

    /// Whether a round counts in which nobody answered: where silence would tell who is not there, noise alone is the answer.
    /// [`aggregate`](Self::aggregate) is then called without answers, and no quorum holds.
    fn counts_nobody(&self) -> bool {
        false
    }

    /// The seed by which clients are drawn, where it must not be that of the run, which they know.
    fn draw_seed(&self) -> Option<u64> {
        None
    }

    /// Why no further round may be trained, such as a budget that is spent. Asked before every round; the run ends there, with
    /// this as a note.
    fn is_spent(&self) -> Option<String> {
        None
    }

    /// What the strategy remembers from round to round, so that a run can be resumed: a momentum as a
    /// record, a number of steps or a key as a setting.
    fn state(&self) -> Message {
        Message::default()
    }

    /// Puts back what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A state that is not this strategy's.
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

/// What a strategy made of a round's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The next global parameters: names, shapes and element types as before, unless they are
    /// [reshaped](Self::reshaped).
    pub parameters: ParameterRecord,
    /// Whatever the strategy measured. The round loop adds the example-weighted means of what the
    /// clients reported.
    pub metrics: Metrics,
    /// Whether the parameters may have other names and shapes than those before.
    pub is_reshaped: bool,
}

impl Aggregate {
    /// Without metrics.
    pub fn new(parameters: ParameterRecord) -> Self {
        Self { parameters, metrics: Metrics::new(), is_reshaped: false }
    }

    /// Of names and shapes that need not be those before, without metrics. The clients must know what
    /// to make of them.
    pub fn reshaped(parameters: ParameterRecord) -> Self {
        Self { is_reshaped: true, ..Self::new(parameters) }
    }
}

/// What is wrong with the records of an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A record that was sent did not come back.
    #[error("record `{name}` is missing from the answer")]
    Missing {
        /// The record.
        name: String,
    },
    /// A record came that was not sent.
    #[error("the answer holds an unexpected record `{name}`")]
    Unexpected {
        /// The record.
        name: String,
    },
    /// A tensor of a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a strategy has no next parameters.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// The weights are all zero.
    #[error("the answers stand for 0 training examples, so they have no weight in an average")]
    NoExamples,
    /// The result is not a valid record.
    #[error("the aggregate is not a valid record: {0}")]
    Record(#[from] RecordError),
    /// A saved state does not fit.
    #[error("the strategy's saved state: {0}")]
    State(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
