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

/// A run in a list of runs, as recorded in its folder, in any state.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// Its folder. In JSON, parts that are not UTF-8 become U+FFFD.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its name for users: its folder, without a leading `runs/`.
    pub name: String,
    /// Its state.
    pub state: RunState,
    /// Whether it stopped before its end and left a state from which it can be resumed.
    pub resumable: bool,
    /// The files in its folder that cannot be read, with the reasons.
    pub problem: Option<String>,
    /// The error, if it failed.
    pub error: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The data set.
    pub data: Option<String>,
    /// Number of planned rounds.
    pub rounds: Option<usize>,
    /// The last evaluated round.
    pub last_round: Option<usize>,
    /// The round with the best accuracy.
    pub best_round: Option<usize>,
    /// The round after which it ended because no score had improved (`training.patience`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<usize>,
    /// The model of the accuracies.
    pub model: EvaluatedModel,
    /// The images of the accuracies: `test` or `validation`.
    pub scored_on: String,
    /// The model's accuracy.
    pub accuracy: Accuracies,
    /// A warning about the last round: [`RunSummary::verdict`].
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
    /// Peak memory.
    pub peak_memory_bytes: Option<u64>,
    /// The start time, in seconds since 1970-01-01 UTC; without a summary, the time at which its experiment was
    /// written.
    pub started_at: Option<u64>,
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process is writing to its folder.
    Running,
    /// It is complete.
    Finished,
    /// It stopped before its end, or was killed.
    Interrupted,
    /// It stopped because of an error.
    Failed,
    /// One of its files is damaged; [`RunRecord::problem`] names it.
    Unreadable,
}

impl RunRecord {
    /// Reads the folder's `run.json`, or without one its `metrics.jsonl`, and `experiment.toml`. Files that cannot be
    /// read are reported in [`RunRecord::problem`].
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self::from_files(path, None, &Settings::read(&path.join(EXPERIMENT)))
    }

    /// The same from files that were already read.
    pub(crate) fn from_files(path: &Path, told: Option<&Told>, settings: &Settings) -> Self {
        // Checked first: a process that holds the lock now may have finished by the time the files are read.
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
            // The latest round of a running run is not its last.
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

    /// A folder that cannot be read.
    pub(super) fn unreadable(path: &Path, problem: String) -> Self {
        let empty = Settings { problem: Some(problem), ..Settings::default() };
        Self::from_files(path, Some(&Told::default()), &empty)
    }
}

/// A summary from the events, for a run that has none. Without a summary, results may be missing, so such a run does
/// not count as finished even if its events say so.
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
