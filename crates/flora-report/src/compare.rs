//! Comparison of runs: the settings in which they differ, and their results.

use std::{collections::BTreeSet, path::PathBuf};

use serde::Serialize;

use crate::{
    ReportError,
    folder::{EXPERIMENT, METRICS, is_run, not_a_run},
    runs::{RunRecord, Settings, Told},
};

/// A comparison of runs. All lists by run are in the same order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// The settings in which they differ, sorted by key, apart from the experiment's name.
    pub settings: Vec<Setting>,
    /// Accuracy by round.
    pub rounds: Vec<Round>,
}

/// A setting that is not the same in all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// Its key in `experiment.toml`, such as `training.rounds`.
    pub key: String,
    /// Its value in each run.
    pub values: Vec<Option<toml::Value>>,
}

/// A round of all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Round {
    /// Number of training rounds that the models have seen.
    pub round: usize,
    /// Unweighted mean accuracy over clients in each run, 0..1.
    pub accuracy: Vec<Option<f64>>,
}

/// Compares the runs in the folders. Damage to a run's files is reported in its [`RunRecord::problem`]; the damaged
/// data are missing here.
///
/// # Errors
/// [`ReportError::NotARun`] if one of the folders holds no run, and [`ReportError::Io`] if `experiment.toml` or
/// `metrics.jsonl` is not a regular file.
pub fn compare(folders: &[PathBuf]) -> Result<Comparison, ReportError> {
    let (mut runs, mut settings, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for path in folders {
        if !is_run(path) {
            return Err(not_a_run(path));
        }
        let run = (Told::read(&path.join(METRICS)), Settings::read(&path.join(EXPERIMENT)));
        let record = RunRecord::from_files(path, Some(&run.0), &run.1);
        // A damaged file has no valid numbers.
        told.push(if record.problem.is_none() { run.0 } else { Told::default() });
        runs.push(record);
        settings.push(run.1);
    }
    Ok(Comparison { runs, settings: differences(&settings), rounds: rounds(&told) })
}

fn differences(runs: &[Settings]) -> Vec<Setting> {
    // A run whose experiment cannot be read has no known differences.
    let readable = || runs.iter().filter(|run| run.problem.is_none());
    let keys: BTreeSet<&String> = readable().flat_map(|run| run.values.keys()).collect();
    let differs = |key: &String| {
        let mut values = readable().map(|run| run.values.get(key));
        let first = values.next();
        key != "name" && values.any(|value| Some(value) != first)
    };
    let setting = |key: &String| Setting {
        key: key.clone(),
        values: runs.iter().map(|run| run.values.get(key).cloned()).collect(),
    };
    keys.into_iter().filter(|key| differs(key)).map(setting).collect()
}

fn rounds(runs: &[Told]) -> Vec<Round> {
    let rounds: BTreeSet<usize> = runs.iter().flat_map(|run| run.rounds.keys().copied()).collect();
    let accuracy = |run: &Told, round| run.rounds.get(&round).map(|accuracy| accuracy.mean);
    let row =
        |round| Round { round, accuracy: runs.iter().map(|run| accuracy(run, round)).collect() };
    rounds.into_iter().map(row).collect()
}
