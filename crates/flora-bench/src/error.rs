use flora_clip::ClipError;
use flora_core::RecordError;
use flora_federation::StrategyError;
use flora_tuning::TuningError;
use thiserror::Error;

use crate::Workload;

/// What keeps a machine from being measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A setting that makes no sense, or does not fit the model.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which one: a field of [`Settings`](crate::Settings), or `shape`.
        setting: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The checkpoint.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The model cannot be trained.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// The model's adapters are no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The adapters cannot be averaged.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// Training left the numbers behind: the time of such a step says nothing.
    #[error("{workload}: the loss became {loss} after {steps} steps; lower repeats or warmup")]
    Diverged {
        /// Of which step.
        workload: Workload,
        /// The loss.
        loss: f32,
        /// Steps before it.
        steps: usize,
    },
    /// The device could not do what it was given.
    #[error("the device failed: {0}")]
    Device(String),
    /// The system refuses a thread.
    #[error("threads: {0}")]
    Threads(std::io::Error),
}

impl BenchError {
    pub(crate) fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting { setting, problem: problem.into() }
    }
}
