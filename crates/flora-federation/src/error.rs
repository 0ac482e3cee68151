use std::fmt;

use flora_core::RecordError;
use thiserror::Error;

use crate::{FleetError, Partial};

/// Why a federation cannot start, or stopped before its last round.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FederationError {
    /// A fleet without clients.
    #[error("a federation needs at least one client")]
    NoClients,
    /// Two clients with one name.
    #[error("two clients are named `{id}`: every client needs an id of its own")]
    DuplicateClient {
        /// The name.
        id: String,
    },
    /// A policy that makes no sense.
    #[error("federation.{field}: {problem}")]
    Policy {
        /// The field.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Probabilities of faults that make no sense.
    #[error("faults.{field}: {problem}")]
    Faults {
        /// The field.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The clients cannot be reached, or their states not be found again.
    #[error(transparent)]
    Fleet(FleetError),
    /// A saved state that does not fit the run.
    #[error("the saved state does not fit: {0}")]
    State(String),
    /// Something that belongs to the result cannot be written.
    #[error("{0}")]
    Unwritten(String),
    /// No worker to run clients on.
    #[error("threads = 0: a simulation needs at least one worker thread")]
    NoThreads,
    /// The operating system refused the worker threads.
    #[error("cannot start the worker threads of the simulation: {0}; try a smaller `threads`")]
    ThreadPool(#[from] std::io::Error),
    /// Settings of a selection that make no sense.
    #[error("federation.selection.{field}: {problem}")]
    Selection {
        /// The field.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A setting of the selection by fraction, where another selects.
    #[error(
        "federation.{field}: it says how many clients federation.selection = \"fraction\" draws, and has no effect \
         with \"{selection}\"; leave it out"
    )]
    WithoutFraction {
        /// The field.
        field: &'static str,
        /// The kind of selection.
        selection: &'static str,
    },
    /// The share of clients per round makes no sense.
    #[error("federation.fraction = {fraction}: it must be above 0 and at most 1")]
    Fraction {
        /// The share that was asked for.
        fraction: f64,
    },
    /// More clients per round than there are.
    #[error(
        "federation.min_clients = {min_clients}, but there are only {clients} clients: lower it, or \
         add clients"
    )]
    MinClients {
        /// The minimum that was asked for.
        min_clients: usize,
        /// How many clients there are.
        clients: usize,
    },
    /// Nobody can say how good the model is.
    #[error("no client has test examples, so no round could be evaluated: give some a test split")]
    NoTestExamples,
    /// Nobody could train.
    #[error("no client has training examples; there is nobody to train")]
    NoTrainingExamples,
    /// Nothing to train.
    #[error("the initial record holds no parameters, so there is nothing to train")]
    NoParameters,
    /// The initial record holds NaN or an infinity.
    #[error("the initial record: {0}")]
    Initial(RecordError),
    /// A round failed as a whole; what the earlier rounds computed is in `partial`.
    #[error("{}: {reason}", stage.in_round(*round))]
    RoundFailed {
        /// The round.
        round: usize,
        /// What was being done.
        stage: Stage,
        /// Why it failed.
        reason: String,
        /// Everything computed before.
        partial: Box<Partial>,
    },
    /// The run was asked to stop. Its state was kept, unless
    /// [`save_every`](crate::RoundsConfig::save_every) is 0.
    #[error("stopped in round {}, as asked", round + 1)]
    Stopped {
        /// The round that is not finished.
        round: usize,
        /// Everything computed before.
        partial: Box<Partial>,
    },
}

impl FederationError {
    /// What was computed before, of a run that ended early.
    pub fn partial(&self) -> Option<&Partial> {
        match self {
            Self::RoundFailed { partial, .. } | Self::Stopped { partial, .. } => Some(partial),
            _ => None,
        }
    }
}

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Clients train.
    Training,
    /// The server aggregates.
    Aggregation,
    /// Clients test the global model.
    Evaluation,
    /// The state is kept.
    Saving,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Training => "training",
            Self::Aggregation => "aggregation",
            Self::Evaluation => "evaluation",
            Self::Saving => "saving the state",
        })
    }
}

impl Stage {
    /// The stage of a round, for people, who count rounds of training from 1.
    fn in_round(self, round: usize) -> String {
        match self {
            Self::Training | Self::Aggregation => format!("{self} failed in round {}", round + 1),
            Self::Evaluation | Self::Saving => format!("{self} failed after round {round}"),
        }
    }
}
