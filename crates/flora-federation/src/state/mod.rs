//! The state of a run between two steps, as bytes and in a folder.

mod file;
mod folder;

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

pub use file::StateError;
pub use folder::{Loaded, StateFolder};

use crate::{Answer, Message, RoundScore, outcome::Progress};

/// Everything from which another process can go on with a run: the next step, the global parameters
/// and the best ones, every evaluation, bytes and seconds so far, and what strategy and clients
/// remember. A [`Listener`](crate::Listener) receives it and keeps it, in a [`StateFolder`] for
/// example.
#[derive(Debug, Clone)]
pub struct RunState {
    /// What is next; `None` after the last evaluation.
    pub(crate) step: Option<Step>,
    /// The answers of a step that was begun and not finished.
    pub(crate) begun: Option<Vec<Answer>>,
    pub(crate) progress: Progress,
    pub(crate) strategy: Message,
    /// What [`Fleet::commit`](crate::Fleet::commit) described.
    pub(crate) fleet: Vec<u8>,
}

impl RunState {
    /// How many rounds of training are done.
    pub fn rounds_done(&self) -> usize {
        match self.step {
            Some(step) => step.round,
            None => self.progress.history.last().map_or(0, |score| score.round),
        }
    }

    /// Whether all rounds are done.
    pub fn is_finished(&self) -> bool {
        self.step.is_none()
    }

    /// Whether no step is half done: [`global`](Self::global) was evaluated, and nothing has happened
    /// since.
    pub fn is_at_boundary(&self) -> bool {
        let trains = self.step.is_none_or(|step| step.kind == StepKind::Train && step.attempt == 0);
        trains && self.begun.is_none()
    }

    /// The shared parameters now.
    pub fn global(&self) -> &ParameterRecord {
        &self.progress.global
    }

    /// What the strategy remembers: [`Strategy::state`](crate::Strategy::state).
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
    /// With these parameters.
    Anew(ParameterRecord),
    /// Where another left off.
    From(Box<RunState>),
}

/// A part of a run that is done or not.
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
