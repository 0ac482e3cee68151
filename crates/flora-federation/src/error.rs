use std::fmt;

use flora_core::RecordError;
use thiserror::Error;

use crate::{FleetError, Partial};

/// Why a federation cannot start, or stopped before its last round.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FederationError {
    /// The fleet has no clients.
    #[error("a federation needs at least one client")]
    NoClients,
    /// Two clients have the same id.
    #[error("two clients are named `{id}`: every client needs an id of its own")]
    DuplicateClient {
        /// The id.
        id: String,
    },
    /// A setting of the round policy is invalid.
    #[error("federation.{field}: {problem}")]
    Policy {
        /// The field.
        field: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// A setting of the injected faults is invalid.
    #[error("faults.{field}: {problem}")]
    Faults {
        /// The field.
        field: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// The clients cannot be reached, or their states cannot be stored or read.
    #[error(transparent)]
    Fleet(FleetError),
    /// A saved state does not fit the run.
    #[error("the saved state does not fit: {0}")]
    State(String),
    /// An output of the run cannot be written.
    #[error("{0}")]
    Unwritten(String),
    /// There are no worker threads to run clients on.
    #[error("threads = 0: a simulation needs at least one worker thread")]
    NoThreads,
    /// The operating system refused to start the worker threads.
    #[error("cannot start the worker threads of the simulation: {0}; try a smaller `threads`")]
    ThreadPool(#[from] std::io::Error),
    /// A setting of the client selection is invalid.
    #[error("federation.selection.{field}: {problem}")]
    Selection {
        /// The field.
        field: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// A setting of the selection by fraction was given, but another selection is used.
    #[error(
        "federation.{field}: it is a setting of federation.selection = \"fraction\", and has no effect \
         with \"{selection}\"; leave it out"
    )]
    WithoutFraction {
        /// The field.
        field: &'static str,
        /// The kind of selection.
        selection: &'static str,
    },
    /// The fraction of clients per round is invalid.
    #[error("federation.fraction = {fraction}: it must be above 0 and at most 1")]
    Fraction {
        /// The requested fraction.
        fraction: f64,
    },
    /// The minimum number of clients per round exceeds the number of clients.
    #[error(
        "federation.min_clients = {min_clients}, but there are only {clients} clients: lower it, or \
         add clients"
    )]
    MinClients {
        /// The requested minimum.
        min_clients: usize,
        /// The number of clients.
        clients: usize,
    },
    /// No client has test examples.
    #[error("no client has test examples, so no round could be evaluated: give some a test split")]
    NoTestExamples,
    /// No client has training examples.
    #[error("no client has training examples; give at least one a training split")]
    NoTrainingExamples,
    /// There are no parameters to train.
    #[error("the initial record holds no parameters, so there is nothing to train")]
    NoParameters,
    /// The initial record holds NaN or an infinity.
    #[error("the initial record: {0}")]
    Initial(RecordError),
    /// A round failed as a whole; `partial` holds the results of the earlier rounds.
    #[error("{}: {reason}", stage.in_round(*round))]
    RoundFailed {
        /// The round.
        round: usize,
        /// The stage that failed.
        stage: Stage,
        /// The reason.
        reason: String,
        /// The results until then.
        partial: Box<Partial>,
    },
    /// The run was asked to stop. Its state was saved, unless [`save_every`](crate::RoundsConfig::save_every) is 0.
    #[error("stopped in round {}, as asked", round + 1)]
    Stopped {
        /// The unfinished round.
        round: usize,
        /// The results until then.
        partial: Box<Partial>,
    },
}

impl FederationError {
    /// The results of a run that ended early.
    pub fn partial(&self) -> Option<&Partial> {
        match self {
            Self::RoundFailed { partial, .. } | Self::Stopped { partial, .. } => Some(partial),
            _ => None,
        }
    }
}

/// A stage of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Clients train.
    Training,
    /// The server aggregates.
    Aggregation,
    /// Clients test the global model.
    Evaluation,
    /// The state is saved.
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
    /// The stage with its round, for messages. People count rounds of training from 1.
    fn in_round(self, round: usize) -> String {
        match self {
            Self::Training | Self::Aggregation => format!("{self} failed in round {}", round + 1),
            Self::Evaluation | Self::Saving => format!("{self} failed after round {round}"),
        }
    }
}
