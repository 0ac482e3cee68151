use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Message;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Unique in its fleet.
    pub id: String,
    /// Training examples, the client's weight in an average; a client without any is never asked to
    /// train.
    pub num_examples: usize,
    /// Test examples; a client without any is never asked to test.
    pub num_test_examples: usize,
}

/// What a client is to do. Flower's message types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Train from the parameters of the message; answer with [`Message::trained`].
    Train,
    /// Test the parameters of the message; answer with [`Message::tested`].
    Evaluate,
    /// Anything else, by name.
    Query(String),
}

/// Something for one client to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// For whom.
    pub client: String,
    /// The round, from 0.
    pub round: usize,
    /// How often the round was tried before; see [`RoundPolicy`](crate::RoundPolicy).
    pub attempt: usize,
    /// What to do.
    pub kind: Kind,
    /// What to do it with.
    pub message: Message,
}

impl Task {
    /// The error of a client that does not know this kind of task.
    pub fn unsupported(&self) -> ClientError {
        ClientError::new(&self.client, format!("it does not know the task {:?}", self.kind))
    }
}

/// A client that could not do its task. It never takes the work of others with it.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("client {client}: {message}")]
pub struct ClientError {
    /// Who failed.
    pub client: String,
    /// Why.
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
    /// Who this is; the same at every call.
    fn info(&self) -> ClientInfo;

    /// Does a task and answers it. Training and queries may change what the client
    /// [remembers](Self::save); an evaluation may not.
    ///
    /// # Errors
    /// Whatever kept the client from doing it; the round goes on without this client.
    fn handle(&mut self, task: &Task) -> Result<Message, ClientError>;

    /// What the client must remember from one task to the next, such as an optimizer's moments, for
    /// another process to go on from; `None` for a client that remembers nothing.
    ///
    /// # Errors
    /// The state has no bytes. The run stops: it could not be resumed.
    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(None)
    }

    /// Puts back what [`save`](Self::save) gave; with `None`, forgets everything.
    ///
    /// # Errors
    /// Bytes that are not this client's.
    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        match state {
            None => Ok(()),
            Some(_) => Err(ClientError::new(self.info().id, "it keeps no state to restore")),
        }
    }

    /// Whether a task of this kind needs what the client remembers. Where an evaluation does not, a
    /// client whose state lies on the disk tests without reading it. Asked for evaluations only.
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
