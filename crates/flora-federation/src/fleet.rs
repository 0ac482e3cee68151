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

/// A client's reply to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The client's id.
    pub client: String,
    /// The round of the answered task.
    pub round: usize,
    /// The attempt at that round.
    pub attempt: usize,
    /// The kind of the task.
    pub kind: Kind,
    /// The reply, or the reason why there is none.
    pub result: Result<Message, Failure>,
    /// Bytes of the reply as transmitted.
    pub bytes_up: u64,
    /// Wall-clock seconds that the client took.
    #[serde(deserialize_with = "number_or_nan")]
    pub seconds: f64,
}

impl Answer {
    /// The reply to a task; counts the bytes of its values.
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

    /// The reply of a client that failed or cannot be reached.
    pub fn failed(task: &Task, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(task, Err(Failure { reason, message: message.into() }))
    }
}

/// Why a client does not take part in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub reason: Reason,
    /// The details, for people.
    pub message: String,
}

/// Why a client does not take part in a round, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The client failed at its task, or could not be reached.
    #[default]
    Failed,
    /// The reply had not arrived by the deadline.
    Late,
    /// The checks of the round loop rejected the reply.
    Refused,
}

/// Limits on waiting for replies.
#[derive(Debug, Clone, Default)]
pub struct Wait {
    /// How long to wait for all replies; `None` waits without limit.
    pub deadline: Option<Duration>,
    /// Start no further task once this is raised.
    pub stop: Stop,
}

/// A flag that asks a run to stop: working clients finish, nothing else is started. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A stop whose flag is raised elsewhere, such as in a signal handler.
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

/// An error of the whole fleet: the run stops, unlike for a [`ClientError`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The clients cannot be reached.
    #[error("the clients cannot be reached: {0}")]
    Unreachable(String),
    /// A client's state cannot be written or read.
    #[error("the state of client {client} {problem}")]
    State {
        /// The client.
        client: String,
        /// The problem, as a predicate: "cannot be written to FILE: …".
        problem: String,
    },
    /// The states of all clients cannot be written or read.
    #[error("the clients' states: {0}")]
    States(String),
}

impl From<ClientError> for FleetError {
    fn from(error: ClientError) -> Self {
        Self::State { client: error.client, problem: format!("is unusable: {}", error.message) }
    }
}

/// The clients of a federation and the connection to them: a [`Simulation`](crate::Simulation), whose clients are
/// values of this process, or a network. The round loop treats all fleets alike.
///
/// A fleet only carries messages. The round loop decides whether a reply is accepted.
///
/// A fleet can wrap another one. This one counts the tasks:
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
    /// The clients that are present in `round`. Called before every evaluation and every training, since clients may
    /// come and go.
    ///
    /// # Errors
    /// The clients cannot be listed.
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError>;

    /// Sends each task to its client and passes every reply to `deliver`, on the caller's thread, as it arrives and in
    /// any order. Returns when all have replied, at the deadline, or, once [`Wait::stop`] is raised, when the working
    /// clients are done. Tasks unanswered by then are withdrawn: their replies are never delivered.
    ///
    /// # Errors
    /// The fleet as a whole failed. The failure of a single client is an [`Answer`].
    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError>;

    /// The bytes of a task as transmitted, asked after the exchange: by default those of its values. A fleet around
    /// another one forwards this call.
    fn bytes_down(&mut self, task: &Task) -> u64 {
        task.message.byte_len()
    }

    /// Adjusts the replies of a training round before they are checked. Each comes with the message that it answers,
    /// sorted by client. Called once all of them are present, including those of failed or late clients. A run that is
    /// stopped before then and resumed calls it with all replies, too.
    ///
    /// Fleets that only carry replies do nothing here; a fleet around another one forwards the call. The effect must
    /// depend only on the replies, not on earlier calls: [`Faulty`](crate::Faulty) lets attackers agree here on their
    /// replies.
    fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
        let _ = (round, answers);
    }

    /// Makes the clients' states durable, if the fleet stores them, and describes them for [`restore`](Self::restore).
    /// A description stays valid until two further calls have returned.
    ///
    /// A fleet whose clients store their own state has nothing to describe, and returns no bytes.
    ///
    /// # Errors
    /// A state cannot be written.
    fn commit(&mut self) -> Result<Vec<u8>, FleetError>;

    /// Restores the states that [`commit`](Self::commit) described, in this or an earlier process.
    ///
    /// # Errors
    /// The description or a described state is damaged.
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
