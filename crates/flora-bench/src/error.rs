use flora_clip::ClipError;
use flora_core::RecordError;
use flora_federation::StrategyError;
use flora_tuning::TuningError;
use thiserror::Error;

use crate::Workload;

/// Errors of a benchmark.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A setting that is invalid, or does not fit the model.
    #[error("{setting}: {problem}")]
    Setting {
        /// The setting: a field of [`Settings`](crate::Settings), or `shape`.
        setting: &'static str,
        /// The problem, and valid values.
        problem: String,
    },
    /// An error of the checkpoint.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The model cannot be trained.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// The model's adapters do not form a valid record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The adapters cannot be averaged.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The loss became NaN or infinite: the time of such a step is meaningless.
    #[error("{workload}: the loss became {loss} after {steps} steps; lower repeats or warmup")]
    Diverged {
        /// The workload of the step.
        workload: Workload,
        /// The loss.
        loss: f32,
        /// The number of steps before it.
        steps: usize,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// The system refuses to start a thread.
    #[error("threads: {0}")]
    Threads(std::io::Error),
}

impl BenchError {
    pub(crate) fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting { setting, problem: problem.into() }
    }
}
