use std::{collections::BTreeMap, sync::Arc};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Named numbers that a client reports. `accuracy` (0..1) and `loss` have a fixed meaning in an
/// [`EvaluateReply`]; see [`FitReply::metrics`] for what a fit may report.
pub type Metrics = BTreeMap<String, f64>;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Unique in its fleet.
    pub id: String,
    /// Training examples, the client's weight in an average.
    pub num_examples: usize,
    /// Test examples; a client without any is not evaluated.
    pub num_test_examples: usize,
}

/// Train from these parameters.
#[derive(Debug, Clone)]
pub struct FitInstruction {
    /// The round, from 0.
    pub round: usize,
    /// The global parameters to start from.
    pub parameters: Arc<ParameterRecord>,
}

/// What a client sends back after training.
#[derive(Debug, Clone, PartialEq)]
pub struct FitReply {
    /// Who replies.
    pub client: String,
    /// The parameters after training, with the names and shapes of those that were sent.
    pub parameters: ParameterRecord,
    /// Training examples, the weight of this reply in an average.
    pub num_examples: usize,
    /// What the client measured; `loss` is its training loss. If it tested its own local model
    /// after training, `accuracy` (0..1) is that model's accuracy on the client's test examples and
    /// `test_loss` the loss there.
    pub metrics: Metrics,
    /// Wall-clock seconds of the training.
    pub seconds: f64,
}

/// Test these parameters.
#[derive(Debug, Clone)]
pub struct EvaluateInstruction {
    /// The round, from 0: these are the global parameters at its start.
    pub round: usize,
    /// The global parameters.
    pub parameters: Arc<ParameterRecord>,
}

/// What a client measured on its test examples.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateReply {
    /// Who replies.
    pub client: String,
    /// Test examples, the weight of this reply in a weighted mean.
    pub num_examples: usize,
    /// `accuracy` (0..1) is required; `loss` is expected.
    pub metrics: Metrics,
    /// Wall-clock seconds of the evaluation.
    pub seconds: f64,
}

/// A client that could not do what it was told. It never takes the others' work with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
/// What a client keeps between calls (an optimizer's moments, its own random stream) is its own
/// affair; the global parameters come with every instruction.
pub trait Client: Send {
    /// Who this is; the same at every call.
    fn info(&self) -> ClientInfo;

    /// Trains from the instruction's parameters.
    ///
    /// # Errors
    /// Whatever kept the client from training; the round goes on without it.
    fn fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, ClientError>;

    /// Tests the instruction's parameters.
    ///
    /// # Errors
    /// Whatever kept the client from testing; the evaluation goes on without it.
    fn evaluate(&mut self, instruction: &EvaluateInstruction)
    -> Result<EvaluateReply, ClientError>;
}
