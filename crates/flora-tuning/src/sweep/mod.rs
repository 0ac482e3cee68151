//! Many runs of one experiment, for a table.

mod check;
mod grid;

use std::collections::BTreeMap;
use std::path::Path;

use flora_core::explain;
use serde::Deserialize;

use crate::{Experiment, TuningError};

pub use flora_federation::Compared;
pub use grid::Combination;

/// A table of experiments, each run with several seeds: rows that are listed, or the product of axes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The name of the sweep.
    pub name: String,
    /// The base experiment of all rows: a preset's name or a file.
    pub base: String,
    /// Training seeds; each runs every row.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Values of `data.seed`; each runs every row with every seed: draws of the partition, the limit and the validation
    /// images. By default, the experiments' own value is used.
    pub partition_seeds: Option<Vec<u64>>,
    /// Changes for all rows, in the syntax of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// The rows, as a list.
    #[serde(default)]
    pub rows: Vec<SweepRow>,
    /// The axes whose combinations are the rows: one row for each choice of a value on every axis.
    #[serde(default)]
    pub axes: Vec<SweepAxis>,
    /// Combinations to leave out: those with all of a rule's values.
    #[serde(default)]
    pub skip: Vec<BTreeMap<String, Names>>,
    /// The baseline for accuracies, bytes, seconds and memory in the tables.
    pub baseline: Option<Baseline>,
    /// The accuracy that is compared with the baseline.
    #[serde(default)]
    pub compare: Compared,
    /// The figure, if any.
    pub figure: Option<SweepFigure>,
}

/// A row of a [`Sweep`], or a value of one of its axes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRow {
    /// The name in tables.
    pub name: String,
    /// The base experiment instead of the sweep's; with several axes, the last one takes precedence.
    pub base: Option<String>,
    /// Changes to the base, in the syntax of `--set`. Those of later axes come later.
    #[serde(default)]
    pub set: Vec<String>,
    /// One run for each of these changes, for every seed; the row is their mean.
    #[serde(default)]
    pub each: Vec<String>,
}

/// An axis of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepAxis {
    /// The name of the axis.
    pub name: String,
    /// Its values.
    pub values: Vec<SweepRow>,
}

/// One or several values of an axis, by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected the name of a value, or a list of them, in quotes")]
pub enum Names {
    /// One value.
    One(String),
    /// Any of these values.
    Any(Vec<String>),
}

impl Names {
    /// The names.
    pub fn list(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Any(names) => names,
        }
    }
}

/// The baseline of the rows of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a row, or values by axis such as { method = \"FLoRA\" }"
)]
pub enum Baseline {
    /// One row.
    Row(String),
    /// For each row, the one with these values, by axis, and the row's own values on the other axes.
    Values(BTreeMap<String, String>),
}

/// The figure of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFigure {
    /// The horizontal axis.
    pub x: String,
    /// The axis whose values are the series. By default every combination of the other axes is one.
    pub series: Option<String>,
    /// The title; by default the sweep's name.
    pub title: Option<String>,
}

/// One run of a [`Sweep`].
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// The index of the row in [`Sweep::combinations`].
    pub row: usize,
    /// The index in the row's `each`.
    pub part: usize,
    /// The partition draw, one of [`Sweep::partition_seeds`], if the sweep has several.
    pub draw: Option<u64>,
    /// The run's folder within the sweep's.
    pub folder: String,
    /// The experiment to run.
    pub experiment: Experiment,
}

/// The longest file name that all usual file systems accept, in bytes.
const LONGEST_NAME: usize = 255;

fn one_seed() -> Vec<u64> {
    vec![0]
}

impl Sweep {
    /// Reads a sweep's TOML file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, unknown or missing keys, a sweep without rows or seeds, and names of axes, values or
    /// rows that do not exist or are ambiguous.
    pub fn from_file(path: &Path) -> Result<Self, TuningError> {
        let wrong = |problem: String| TuningError::Experiment {
            origin: path.display().to_string(),
            problem: problem.trim_end().to_owned(),
        };
        let text = flora_core::files::read_text(path)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let sweep: Self =
            toml::from_str(&text).map_err(|error| wrong(explain::toml(&error.to_string())))?;
        sweep.check().map_err(wrong)?;
        Ok(sweep)
    }

    /// All runs, ordered by seed and then by draw: a sweep that is stopped early has complete rows for the first seeds.
    ///
    /// # Errors
    ///
    /// The base cannot be read, or a change does not fit; the error names the row, or the axis and its value.
    pub fn runs(&self) -> Result<Vec<SweepRun>, TuningError> {
        let combinations = self.combinations();
        let draws = match &self.partition_seeds {
            Some(draws) => draws.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let mut runs = Vec::new();
        for &seed in &self.seeds {
            for &draw in &draws {
                for (row, combination) in combinations.iter().enumerate() {
                    self.runs_of(row, combination, draw, seed, &mut runs)?;
                }
            }
        }
        Ok(runs)
    }

    /// Adds the runs of a row for one draw and seed.
    fn runs_of(
        &self,
        row: usize,
        combination: &Combination,
        draw: Option<u64>,
        seed: u64,
        runs: &mut Vec<SweepRun>,
    ) -> Result<(), TuningError> {
        let values = self.values_of(combination);
        let parts = parts(&values);
        for (part, changes) in parts.iter().enumerate() {
            // No name has a dot, so "rank.2" never belongs to another row.
            let name = match parts.len() {
                1 => combination.folder.clone(),
                _ => format!("{}.{}", combination.folder, part + 1),
            };
            // In quotes, because a row may be called 16.
            let mut own = vec![format!("name=\"{name}\""), format!("seed={seed}")];
            own.extend(draw.map(|draw| format!("data.seed={draw}")));
            let changes = [changes.as_slice(), &own].concat();
            let experiment = self
                .experiment(&values, &changes)
                .map_err(|error| self.blame(combination, &values, &own, &error))?;
            // The experiment equals that of a sweep with data.seed in `set`: such a run's folder counts as this run
            // once it is renamed.
            let draw_of = draw.map_or_else(String::new, |draw| format!("-draw-{draw}"));
            let folder = format!("{name}{draw_of}-seed-{seed}");
            if folder.len() > LONGEST_NAME {
                return Err(self.too_long(combination, folder.len()));
            }
            runs.push(SweepRun { row, part, draw, folder, experiment });
        }
        Ok(())
    }

    /// The error of a row whose runs' folders would have names of `length` bytes.
    fn too_long(&self, combination: &Combination, length: usize) -> TuningError {
        let what = if self.axes.is_empty() { "the row" } else { "its values" };
        TuningError::Experiment {
            origin: self.name.clone(),
            problem: format!(
                "row {:?}: the name of a run's folder, made of the row's name, has {length} bytes, and \
                 file systems accept {LONGEST_NAME}; shorten the name of {what}",
                combination.name
            ),
        }
    }

    /// The base with the changes of all rows, those of the values, and `changes`.
    fn experiment(
        &self,
        values: &[&SweepRow],
        changes: &[String],
    ) -> Result<Experiment, TuningError> {
        let base = values.iter().rev().find_map(|value| value.base.as_ref());
        let of_values = values.iter().flat_map(|value| &value.set);
        let set: Vec<String> = self.set.iter().chain(of_values).chain(changes).cloned().collect();
        Experiment::find(base.unwrap_or(&self.base), &set)
    }

    /// The error with its cause: the first axis on which it occurs, or the row. The name and the seeds, `own`, cannot
    /// be wrong.
    fn blame(
        &self,
        combination: &Combination,
        values: &[&SweepRow],
        own: &[String],
        error: &TuningError,
    ) -> TuningError {
        let culprit = |index: usize| {
            let axis = self.axes.get(index)?;
            let error = self.experiment(&values[..=index], own).err()?;
            Some(format!("axis {:?}, value {:?}: {error}", axis.name, values[index].name))
        };
        // A problem that exists without any value is not caused by a value.
        let culprit = match self.experiment(&[], own) {
            Ok(_) => (0..values.len()).find_map(culprit),
            Err(_) => None,
        };
        let problem = culprit.unwrap_or_else(|| format!("row {:?}: {error}", combination.name));
        TuningError::Experiment { origin: self.name.clone(), problem }
    }
}

/// The product of the values' `each`: a list of changes for every run of the row.
fn parts(values: &[&SweepRow]) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new()];
    for value in values.iter().filter(|value| !value.each.is_empty()) {
        let longer = |part: &Vec<String>| {
            let with = |change: &String| [part.as_slice(), std::slice::from_ref(change)].concat();
            value.each.iter().map(with).collect::<Vec<_>>()
        };
        parts = parts.iter().flat_map(longer).collect();
    }
    parts
}

#[cfg(test)]
mod tests;
