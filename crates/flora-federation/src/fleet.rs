use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ClientError, ClientInfo, Kind, Message, Task, message::number_or_nan};

/// What a client made of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub client: String,
    /// The round of the task that is answered.
    pub round: usize,
    /// The attempt at that round.
    pub attempt: usize,
    /// The kind of the task.
    pub kind: Kind,
    /// The answer, or why there is none.
    pub result: Result<Message, Failure>,
    /// Bytes that the answer took on its way.
    pub bytes_up: u64,
    /// Wall-clock seconds that the client took.
    #[serde(deserialize_with = "number_or_nan")]
    pub seconds: f64,
}

impl Answer {
    /// The answer to a task, with the bytes of its values.
    pub fn new(task: &Task, result: Result<Message, Failure>) -> Self {
        Self {
            client: task.client.clone(),
            round: task.round,
            attempt: task.attempt,
            kind: task.kind.clone(),
            bytes_up: result.as_ref().map_or(0, Message::byte_len),
            result,
            seconds: 0.0,
        }
    }

    /// The answer of a client that cannot be reached or failed.
    pub fn failed(task: &Task, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(task, Err(Failure { reason, message: message.into() }))
    }
}

/// Why a client is not part of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
}

/// The kinds of reasons for which a client is not part of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The client could not do its task, or could not be reached.
    #[default]
    Failed,
    /// The answer was not there at the deadline.
    Late,
    /// The answer did not pass the checks of the round loop.
    Refused,
}

/// Until when to wait for answers.
#[derive(Debug, Clone, Default)]
pub struct Wait {
    /// How long to wait for all answers; `None` to wait for ever.
    pub deadline: Option<Duration>,
    /// Begin no further task once this is raised.
    pub stop: Stop,
}

/// A flag that asks a run to stop: clients at work finish, nothing else is begun. Clones are the
/// same flag.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that something else raises, such as a signal handler.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks the run to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the run has been asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A fleet that cannot go on: the whole run stops, unlike for a [`ClientError`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The clients cannot be reached.
    #[error("the clients cannot be reached: {0}")]
    Unreachable(String),
    /// What a client remembers cannot be written or read back.
    #[error("the state of client {client} {problem}")]
    State {
        /// The client.
        client: String,
        /// What is wrong, as a predicate: "cannot be written to FILE: …".
        problem: String,
    },
    /// The states of all clients cannot be written or read back.
    #[error("the clients' states: {0}")]
    States(String),
}

impl From<ClientError> for FleetError {
    fn from(error: ClientError) -> Self {
        Self::State { client: error.client, problem: format!("is unusable: {}", error.message) }
    }
}

/// The clients of a federation and the way to reach them: [`Simulation`](crate::Simulation), whose
/// clients are values of this process, or a network. The round loop cannot tell fleets apart.
///
/// A fleet only carries messages. Whether an answer is believed is decided by the round loop.
///
/// A fleet around another one decorates it; this one counts the tasks that pass:
///
/// ```
/// use flora_federation::{Answer, ClientInfo, Fleet, FleetError, Message, Task, Wait};
///
/// struct Counted<F>(F, usize);
///
/// impl<F: Fleet> Fleet for Counted<F> {
///     fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
///         self.0.clients(round)
///     }
///
///     fn exchange(
///         &mut self,
///         tasks: Vec<Task>,
///         wait: &Wait,
///         deliver: &mut dyn FnMut(Answer),
///     ) -> Result<(), FleetError> {
///         self.1 += tasks.len();
///         self.0.exchange(tasks, wait, deliver)
///     }
///
///     fn bytes_down(&mut self, task: &Task) -> u64 {
///         self.0.bytes_down(task)
///     }
///
///     fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
///         self.0.conclude(round, answers);
///     }
///
///     fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
///         self.0.commit()
///     }
///
///     fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
///         self.0.restore(committed)
///     }
/// }
/// ```
pub trait Fleet {
    /// Who is there in `round`. Asked before every evaluation and every training: members may come
    /// and go.
    ///
    /// # Errors
    /// Nobody can be asked.
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError>;

    /// Sends each task to its client and hands every answer to `deliver`, on the caller's thread, as
    /// it arrives and in any order. Returns when all have answered, or at the deadline, or, once
    /// [`Wait::stop`] is raised, when the clients at work are done. Tasks without an answer by then
    /// are withdrawn: their answers are never delivered.
    ///
    /// # Errors
    /// The fleet as a whole cannot go on. A client that fails is an [`Answer`] like any other.
    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError>;

    /// The bytes that a task took on its way, asked after it was exchanged: those of its values, unless the fleet knows better.
    /// One around another passes this on.
    fn bytes_down(&mut self, task: &Task) -> u64 {
        task.message.byte_len()
    }

    /// Has the last word on the answers of a round of training, each of which comes with the message that it answers,
    /// sorted by client. Called once all of them are there, also those of clients that failed or are late, and before
    /// any is checked. A run that is stopped before then and resumed comes here with all of them as well.
    ///
    /// Fleets that only carry answers have nothing to say. One around another passes this on. What it does must
    /// follow from the answers, not from calls before: [`Faulty`](crate::Faulty) lets attackers agree here on what
    /// they send.
    fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
        let _ = (round, answers);
    }

    /// Makes durable what the clients remember, where that is the fleet's affair, and describes it
    /// for [`restore`](Self::restore). What an earlier call described stays valid until two further
    /// calls have returned.
    ///
    /// A fleet whose clients remember by themselves has nothing to describe, and gives no bytes.
    ///
    /// # Errors
    /// Something cannot be written.
    fn commit(&mut self) -> Result<Vec<u8>, FleetError>;

    /// Goes back to what [`commit`](Self::commit) described, in this or an earlier process.
    ///
    /// # Errors
    /// The description or what it describes is damaged.
    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError>;
}

impl Fleet for Box<dyn Fleet> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        (**self).clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        (**self).exchange(tasks, wait, deliver)
    }

    fn bytes_down(&mut self, task: &Task) -> u64 {
        (**self).bytes_down(task)
    }

    fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
        (**self).conclude(round, answers);
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        (**self).commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        (**self).restore(committed)
    }
}
