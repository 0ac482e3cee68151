use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Message;

/// A client's id and numbers of examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Unique within its fleet.
    pub id: String,
    /// Number of training examples: the client's weight in an average. A client without any is never asked to train.
    pub num_examples: usize,
    /// Number of test examples. A client without any is never asked to test.
    pub num_test_examples: usize,
}

/// The kind of a task, as in Flower's message types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Train from the parameters in the message; reply with [`Message::trained`].
    Train,
    /// Test the parameters in the message; reply with [`Message::tested`].
    Evaluate,
    /// A query with a name of the caller's choice.
    Query(String),
}

/// A task for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The client's id.
    pub client: String,
    /// The round, from 0.
    pub round: usize,
    /// Number of earlier attempts at this round; see [`RoundPolicy`](crate::RoundPolicy).
    pub attempt: usize,
    /// The kind of task.
    pub kind: Kind,
    /// Parameters and settings for the task.
    pub message: Message,
}

impl Task {
    /// The error of a client that does not support this kind of task.
    pub fn unsupported(&self) -> ClientError {
        ClientError::new(&self.client, format!("it does not support the task {:?}", self.kind))
    }
}

/// A client failed at its task. Other clients are not affected.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("client {client}: {message}")]
pub struct ClientError {
    /// The client's id.
    pub client: String,
    /// The reason.
    pub message: String,
}

impl ClientError {
    /// An error of `client`.
    pub fn new(client: impl Into<String>, message: impl Into<String>) -> Self {
        Self { client: client.into(), message: message.into() }
    }
}

/// A participant that holds data, and trains and tests on them.
///
/// ```
/// use std::sync::Arc;
/// use flora_core::{HostTensor, ParameterRecord};
/// use flora_federation::{
///     Client, ClientError, ClientInfo, FedAvg, Kind, Message, Metrics, Rounds, RoundsConfig,
///     Simulation, Task,
/// };
///
/// /// Knows one number, and moves the model half of the way there.
/// struct Half(String, f32);
///
/// impl Client for Half {
///     fn info(&self) -> ClientInfo {
///         ClientInfo { id: self.0.clone(), num_examples: 1, num_test_examples: 1 }
///     }
///
///     fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
///         let failed = |error: flora_core::RecordError| ClientError::new(&self.0, error.to_string());
///         let x = task.message.expect_parameters(&self.0)?.get("x").expect("checked").to_f32()[0];
///         match &task.kind {
///             Kind::Train => {
///                 let tensor = HostTensor::from_f32([1], vec![(x + self.1) / 2.0]).map_err(failed)?;
///                 let mut trained = ParameterRecord::new();
///                 trained.insert("x", tensor).map_err(failed)?;
///                 Ok(Message::trained(trained, 1, Metrics::new()))
///             }
///             Kind::Evaluate => {
///                 let accuracy = 1.0 / (1.0 + f64::from((x - self.1).abs()));
///                 Ok(Message::tested(1, Metrics::from([("accuracy".to_owned(), accuracy)])))
///             }
///             Kind::Query(_) => Err(task.unsupported()),
///         }
///     }
/// }
///
/// let clients: Vec<Box<dyn Client>> =
///     vec![Box::new(Half("a".into(), 1.0)), Box::new(Half("b".into(), 3.0))];
/// let mut initial = ParameterRecord::new();
/// initial.insert("x", HostTensor::from_f32([1], vec![0.0])?)?;
/// let config = RoundsConfig { rounds: 20, ..RoundsConfig::default() };
/// let mut fleet = Simulation::new(clients, 2)?;
/// let outcome = Rounds::new(&config).run(&mut fleet, &mut FedAvg, initial, &mut |_: &_| ())?;
/// assert!((outcome.last.get("x").unwrap().to_f32()[0] - 2.0).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Client: Send {
    /// The client's id and numbers of examples; the same at every call.
    fn info(&self) -> ClientInfo;

    /// Performs a task and returns the reply. Training and queries may change the client's [state](Self::save); an
    /// evaluation may not.
    ///
    /// # Errors
    /// Any failure of the client; the round goes on without it.
    fn handle(&mut self, task: &Task) -> Result<Message, ClientError>;

    /// The state that the client keeps between tasks, such as an optimizer's moments, so that another process can
    /// resume; `None` for a stateless client.
    ///
    /// # Errors
    /// The state cannot be serialised. The run stops, because it could not be resumed.
    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(None)
    }

    /// Restores the state that [`save`](Self::save) returned; `None` resets the client.
    ///
    /// # Errors
    /// Bytes that are not a state of this client.
    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        match state {
            None => Ok(()),
            Some(_) => Err(ClientError::new(self.info().id, "it keeps no state to restore")),
        }
    }

    /// Whether a task of this kind needs the client's state. If an evaluation does not, a client whose state is on disk
    /// tests without reading it. Asked for evaluations only.
    fn needs_state(&self, kind: &Kind) -> bool {
        let _ = kind;
        true
    }
}

impl Client for Box<dyn Client> {
    fn info(&self) -> ClientInfo {
        (**self).info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        (**self).handle(task)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        (**self).save()
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        (**self).restore(state)
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        (**self).needs_state(kind)
    }
}
