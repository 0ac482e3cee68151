use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use flora_federation::{EvaluatedModel, RunStatus};
use serde::{Serialize, Serializer};

use super::{RUNS, Settings, Told};
use crate::{
    Accuracies, RunFolder, RunSummary,
    folder::{EXPERIMENT, METRICS, STATE, SUMMARY},
};

/// A run in a list of runs: what its folder tells, whatever state that is in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// Its folder. JSON has U+FFFD for what is not UTF-8 in it.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// How a user names it: its folder, without a `runs/` before it.
    pub name: String,
    /// Whether it goes on, or how it ended.
    pub state: RunState,
    /// Whether it stopped before its end and left a state to go on from.
    pub resumable: bool,
    /// What in its folder cannot be read.
    pub problem: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The data set.
    pub data: Option<String>,
    /// Rounds that were planned.
    pub rounds: Option<usize>,
    /// The last evaluated round.
    pub last_round: Option<usize>,
    /// The round with the best accuracy.
    pub best_round: Option<usize>,
    /// The round after which it ended because no score had become better (`training.patience`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<usize>,
    /// Whose accuracy it is.
    pub model: EvaluatedModel,
    /// The images that it is of: `test`, or `validation`.
    pub scored_on: String,
    /// The model's accuracy.
    pub accuracy: Accuracies,
    /// What speaks against using the last round: [`RunSummary::verdict`].
    pub warning: Option<String>,
    /// Bytes of values that clients sent.
    pub bytes_up: u64,
    /// Bytes of values that were sent to clients for training.
    pub bytes_down: u64,
    /// The privacy spent, of a run with differential privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Wall-clock seconds from start to end, of a run that has ended.
    pub seconds: Option<f64>,
    /// The most memory held at once.
    pub peak_memory_bytes: Option<u64>,
    /// When it began, in seconds since 1970-01-01 UTC. Without a summary, when its experiment was written.
    pub started_at: Option<u64>,
}

/// Whether a run goes on, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process writes it.
    Running,
    /// All rounds were run.
    Finished,
    /// It stopped before its end, or was killed.
    Interrupted,
    /// It stopped because of an error.
    Failed,
    /// A file of it is damaged: [`RunRecord::problem`] says which.
    Unreadable,
}

impl RunRecord {
    /// Reads the folder's `run.json`, or without one its `metrics.jsonl`, and `experiment.toml`. What cannot be read is
    /// told in [`RunRecord::problem`].
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self::from_files(path, None, &Settings::read(&path.join(EXPERIMENT)))
    }

    /// The same of files that were read already.
    pub(crate) fn from_files(path: &Path, told: Option<&Told>, settings: &Settings) -> Self {
        // First: whoever holds the lock now may have written all files by the time they are read.
        let is_locked = RunFolder::is_locked(path);
        let mut problems = Vec::new();
        let file = path.join(SUMMARY);
        let summary = match file.exists().then(|| RunSummary::load(&file)).transpose() {
            Ok(summary) => summary,
            Err(error) => {
                let folder = format!("{}", path.join("").display());
                problems.push(error.to_string().replace(&folder, ""));
                None
            }
        };
        let has_summary = summary.is_some();
        if let Some(summary) = &summary {
            // Whatever is read below.
            let names = [Some(EXPERIMENT), told.map(|_| METRICS)];
            let checked = names.into_iter().flatten().map(|name| summary.check_file(path, name));
            problems.extend(checked.filter_map(|it| Some(it.err()?.to_string())));
        }
        let read;
        let told = match (told, has_summary) {
            (Some(told), _) => Some(told),
            (None, true) => None,
            (None, false) => {
                read = Told::read(&path.join(METRICS));
                Some(&read)
            }
        };
        problems.extend(told.and_then(|told| told.problem.clone()));
        problems.extend(settings.problem.clone());
        let summary = summary.unwrap_or_else(|| summarize(told));

        let state = match summary.status {
            _ if is_locked => RunState::Running,
            _ if !problems.is_empty() => RunState::Unreadable,
            RunStatus::Finished => RunState::Finished,
            RunStatus::Failed => RunState::Failed,
            RunStatus::Interrupted => RunState::Interrupted,
        };
        let stopped = matches!(state, RunState::Interrupted | RunState::Failed);
        let text = |key| settings.text(key).map(str::to_owned);
        Self {
            path: path.to_owned(),
            name: name(path),
            state,
            resumable: stopped && path.join(STATE).is_dir(),
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
            method: summary.method.clone().or_else(|| text("method.name")),
            data: summary.data.clone().or_else(|| settings.data()),
            rounds: summary.rounds.or_else(|| settings.count("training.rounds")),
            last_round: summary.last_round,
            best_round: summary.best_round,
            stopped_early: summary.stopped_early,
            model: summary.model,
            scored_on: match has_summary {
                true => summary.scored_on.clone(),
                false => settings.scored_on(),
            },
            accuracy: summary.accuracy,
            // The last round of a run that goes on is not its last.
            warning: summary.verdict().filter(|_| !is_locked),
            bytes_up: summary.bytes_up,
            bytes_down: summary.bytes_down,
            epsilon: summary.epsilon,
            seconds: has_summary.then_some(summary.seconds.total).or(told.and_then(|t| t.seconds)),
            peak_memory_bytes: summary.peak_memory_bytes,
            started_at: summary.started_at.or_else(|| written_at(&path.join(EXPERIMENT))),
            error: summary.error,
        }
    }

    /// A folder of which nothing can be read.
    pub(super) fn unreadable(path: &Path, problem: String) -> Self {
        let empty = Settings { problem: Some(problem), ..Settings::default() };
        Self::from_files(path, Some(&Told::default()), &empty)
    }
}

/// The summary of a run that has none, as far as its events tell. Without a summary, results may be missing: such a run
/// is not finished, whatever its events say.
fn summarize(told: Option<&Told>) -> RunSummary {
    let name = told.and_then(|told| told.name.clone()).unwrap_or_default();
    let mut summary = RunSummary::new(name, RunStatus::Interrupted, None);
    let Some(told) = told else { return summary };
    if let Some((RunStatus::Failed, message)) = &told.end {
        (summary.status, summary.error) = (RunStatus::Failed, message.clone());
    }
    summary.method.clone_from(&told.method);
    (summary.rounds, summary.seed) = (told.planned, told.seed);
    summary.last_round = told.last().map(|(round, _)| round);
    summary.best_round = told.best().map(|(round, _)| round);
    summary.model = told.model.unwrap_or(summary.model);
    summary.accuracy = told.accuracies();
    (summary.bytes_up, summary.bytes_down) = (told.bytes_up, told.bytes_down);
    summary.epsilon = told.epsilon;
    summary
}

fn name(path: &Path) -> String {
    let below = path.strip_prefix(RUNS).ok().filter(|below| below.components().next().is_some());
    below.unwrap_or(path).display().to_string()
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn written_at(path: &Path) -> Option<u64> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    Some(written.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
