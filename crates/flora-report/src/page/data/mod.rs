//! What a page shows, read from the folders of runs and sweeps.

mod history;
mod predicted;
mod shares;

use std::{
    fs,
    path::{Path, PathBuf},
};

use flora_core::text;

pub(super) use self::{
    history::{Evaluation, History, Round},
    predicted::{AFTER, BEFORE, Guess, Image, Predictions},
    shares::Shares,
};
use crate::{
    ReportError, RunSummary,
    folder::{EXPERIMENT, METRICS, PARTITION, SUMMARY, is_run, not_a_run, read},
    runs::{RunRecord, Settings, Told},
};

/// A run as its folder tells of it, whatever state it is in.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: PathBuf,
    /// What it is called on the page: its folder's name, with as much of the folders above as tells it apart.
    pub(super) label: String,
    pub(super) record: RunRecord,
    pub(super) summary: Option<RunSummary>,
    pub(super) history: History,
    pub(super) settings: Settings,
    /// The text of `experiment.toml`.
    pub(super) experiment: String,
    pub(super) shares: Option<Shares>,
    pub(super) predictions: Option<Predictions>,
    /// What could not be read, one sentence each.
    pub(super) problems: Vec<String>,
}

impl Run {
    /// Reads the folder.
    ///
    /// # Errors
    /// [`ReportError::NotARun`], and [`ReportError::Io`] if one of the files that make a run is not regular. Damaged files
    /// are told in [`Run::problems`].
    pub(super) fn read(path: &Path) -> Result<Self, ReportError> {
        if !is_run(path) {
            return Err(not_a_run(path));
        }
        let settings = Settings::read(&path.join(EXPERIMENT));
        let told = Told::read(&path.join(METRICS));
        let record = RunRecord::from_files(path, Some(&told), &settings);
        let history = History::read(&path.join(METRICS));
        let file = path.join(SUMMARY);
        // `record` tells what is wrong with it.
        let summary = file.exists().then(|| RunSummary::load(&file).ok()).flatten();
        let mut problems: Vec<String> = record.problem.iter().cloned().collect();
        let mut keep = |problem: String| {
            if !problems.iter().any(|known| known.contains(&problem)) {
                problems.push(problem);
            }
        };
        if let Some(problem) = &history.problem
            && told.problem.is_none()
        {
            keep(problem.clone());
        }
        let shares = Shares::read(&path.join(PARTITION)).unwrap_or_else(|problem| {
            keep(problem);
            None
        });
        let predictions = Predictions::read(path).unwrap_or_else(|problem| {
            keep(problem);
            None
        });
        Ok(Self {
            label: String::new(),
            experiment: read::text(&path.join(EXPERIMENT)).unwrap_or_default(),
            shares: shares.filter(|shares| !shares.is_empty()),
            path: path.to_owned(),
            record,
            summary,
            history,
            settings,
            predictions,
            problems,
        })
    }

    /// The experiment's name.
    pub(super) fn title(&self) -> String {
        let name = self.settings.text("name").unwrap_or_default();
        let name = if name.is_empty() { &self.label } else { name };
        text::printable(name).into_owned()
    }

    /// Whether its accuracies are of the clients' own models, because there is no global one.
    pub(super) fn is_own(&self) -> bool {
        self.record.model == flora_federation::EvaluatedModel::Own
    }

    /// The most that was spent of a privacy budget.
    pub(super) fn epsilon(&self) -> Option<f64> {
        let rounds = self.history.trained().filter_map(|(_, round)| round.epsilon);
        rounds.reduce(f64::max).or(self.summary.as_ref()?.epsilon)
    }
}

/// Reads the runs and names them.
///
/// # Errors
/// As [`Run::read`].
pub(super) fn read_runs(paths: &[PathBuf]) -> Result<Vec<Run>, ReportError> {
    let mut runs = paths.iter().map(|path| Run::read(path)).collect::<Result<Vec<_>, _>>()?;
    for (run, label) in runs.iter_mut().zip(labels(paths)) {
        run.label = label;
    }
    Ok(runs)
}

/// Short names that are all different: the ends of the paths, as long as they must be.
fn labels(paths: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths
        .iter()
        .map(|path| {
            // `.` and `..` say nothing.
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            let parts = path.components().filter_map(|part| match part {
                std::path::Component::Normal(name) => Some(text::path(Path::new(name))),
                _ => None,
            });
            parts.collect()
        })
        .collect();
    let end =
        |parts: &[String], length: usize| parts[parts.len().saturating_sub(length)..].join("/");
    let label = |(index, own): (usize, &Vec<String>)| {
        let lengths = 1..=own.len().max(1);
        let is_own = |length: &usize| {
            let mut others = parts.iter().enumerate().filter(|(other, _)| *other != index);
            others.all(|(_, other)| end(other, *length) != end(own, *length))
        };
        match lengths.clone().find(is_own) {
            Some(length) => end(own, length),
            // The same folder twice.
            None => format!("{} ({})", end(own, own.len()), index + 1),
        }
    };
    parts.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_different() {
        let of = |paths: &[&str]| labels(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b"]), ["a", "b"]);
        assert_eq!(of(&["runs/x/a", "runs/y/a", "runs/y/b"]), ["x/a", "y/a", "b"]);
        assert_eq!(of(&["/a", "/a"]), ["a (1)", "a (2)"]);
    }
}
