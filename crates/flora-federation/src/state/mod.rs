//! The state of a run between two steps, in memory and in a folder.

mod file;
mod folder;

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

pub use file::StateError;
pub use folder::{Loaded, StateFolder};

use crate::{Answer, Message, RoundScore, outcome::RunProgress};

/// The state from which another process can resume a run: the next step, the global and the best parameters, every
/// evaluation, bytes and seconds so far, and the states of strategy and clients. A [`Listener`](crate::Listener)
/// receives it and saves it, for example in a [`StateFolder`].
#[derive(Debug, Clone)]
pub struct RunState {
    /// The next step; `None` after the last evaluation.
    pub(crate) step: Option<Step>,
    /// The replies of an unfinished step.
    pub(crate) begun: Option<Vec<Answer>>,
    pub(crate) progress: RunProgress,
    pub(crate) strategy: Message,
    /// The description from [`Fleet::commit`](crate::Fleet::commit).
    pub(crate) fleet: Vec<u8>,
}

impl RunState {
    /// Number of finished training rounds.
    pub fn rounds_done(&self) -> usize {
        match self.step {
            Some(step) => step.round,
            None => self.progress.history.last().map_or(0, |score| score.round),
        }
    }

    /// Whether all rounds are finished.
    pub fn is_finished(&self) -> bool {
        self.step.is_none()
    }

    /// Whether the state is between rounds: [`global`](Self::global) was evaluated, and nothing has happened since.
    pub fn is_at_boundary(&self) -> bool {
        let trains = self.step.is_none_or(|step| step.kind == StepKind::Train && step.attempt == 0);
        trains && self.begun.is_none()
    }

    /// The current shared parameters.
    pub fn global(&self) -> &ParameterRecord {
        &self.progress.global
    }

    /// The strategy's state: [`Strategy::state`](crate::Strategy::state).
    pub fn strategy(&self) -> &Message {
        &self.strategy
    }

    /// Every evaluation so far.
    pub fn history(&self) -> &[RoundScore] {
        &self.progress.history
    }
}

/// How a run begins.
pub(crate) enum Begin {
    /// From these parameters.
    Anew(ParameterRecord),
    /// From a saved state.
    From(Box<RunState>),
}

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) round: usize,
    pub(crate) kind: StepKind,
    pub(crate) attempt: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepKind {
    Evaluate,
    Train,
}
