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
    /// What it is called.
    pub name: String,
    /// The experiment that all rows start from: a preset's name or a file.
    pub base: String,
    /// Seeds of the training, each of which runs every row.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Values of `data.seed`, each of which runs every row with every seed: draws of the partition, the limit and the
    /// validation images. Without them the experiments' own holds.
    pub partition_seeds: Option<Vec<u64>>,
    /// Changes for all rows, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
    /// The rows, where they are a list.
    #[serde(default)]
    pub rows: Vec<SweepRow>,
    /// What the rows are combinations of, where they are a product: one row for each choice of a value on
    /// every axis.
    #[serde(default)]
    pub axes: Vec<SweepAxis>,
    /// Combinations that are left out: those that have all of a rule's values.
    #[serde(default)]
    pub skip: Vec<BTreeMap<String, Names>>,
    /// What the tables compare accuracies, bytes, seconds and memory with.
    pub baseline: Option<Baseline>,
    /// Which accuracy the differences from the baseline are of.
    #[serde(default)]
    pub compare: Compared,
    /// What the figure shows, if there is to be one.
    pub figure: Option<SweepFigure>,
}

/// A row of a [`Sweep`], or a value of one of its axes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRow {
    /// What the table calls it.
    pub name: String,
    /// The experiment to start from instead of the sweep's; of several axes the last one's holds.
    pub base: Option<String>,
    /// Changes to the base, as `--set` takes them. Those of later axes come later.
    #[serde(default)]
    pub set: Vec<String>,
    /// One run for each of these changes, for every seed; the row is their mean.
    #[serde(default)]
    pub each: Vec<String>,
}

/// Something that a [`Sweep`] varies.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepAxis {
    /// What it is.
    pub name: String,
    /// Its values.
    pub values: Vec<SweepRow>,
}

/// One or several values of an axis, by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected the name of a value, or a list of them, in quotes")]
pub enum Names {
    /// One.
    One(String),
    /// Any of these.
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

/// What the rows of a [`Sweep`] are compared with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a row, or values by axis such as { method = \"FLoRA\" }"
)]
pub enum Baseline {
    /// One row.
    Row(String),
    /// For each row the one that has these values, by axis, and its own on the other axes.
    Values(BTreeMap<String, String>),
}

/// What the figure of a [`Sweep`] shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFigure {
    /// The axis that runs from left to right.
    pub x: String,
    /// The axis whose values are the series. Without it every combination of the others is one.
    pub series: Option<String>,
    /// The title; the sweep's name if there is none.
    pub title: Option<String>,
}

/// One run of a [`Sweep`].
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// The row, from 0: one of [`Sweep::combinations`].
    pub row: usize,
    /// Which of the row's `each`, from 0.
    pub part: usize,
    /// Its draw, where the sweep has several: one of [`Sweep::partition_seeds`].
    pub draw: Option<u64>,
    /// The run's folder within the sweep's.
    pub folder: String,
    /// What is run.
    pub experiment: Experiment,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

impl Sweep {
    /// Read a sweep's TOML file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, unknown or missing keys, a sweep without rows or seeds, and names of
    /// axes, values or rows that do not exist or cannot be told apart.
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

    /// Every run, seed by seed and draw by draw: a sweep that is stopped early has whole rows of the first seeds.
    ///
    /// # Errors
    ///
    /// The base cannot be read, or a change does not fit; the row is named, or the axis and its value.
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
            // No name has a dot: "rank.2" is never another row's.
            let name = match parts.len() {
                1 => combination.folder.clone(),
                _ => format!("{}.{}", combination.folder, part + 1),
            };
            // In quotes: a row may be called 16.
            let mut own = vec![format!("name=\"{name}\""), format!("seed={seed}")];
            own.extend(draw.map(|draw| format!("data.seed={draw}")));
            let changes = [changes.as_slice(), &own].concat();
            let experiment = self
                .experiment(&values, &changes)
                .map_err(|error| self.blame(combination, &values, &own, &error))?;
            // The experiment is the same as that of a sweep with data.seed in `set`: a folder from there counts as
            // this run once it is renamed.
            let draw_of = draw.map_or_else(String::new, |draw| format!("-draw-{draw}"));
            let folder = format!("{name}{draw_of}-seed-{seed}");
            runs.push(SweepRun { row, part, draw, folder, experiment });
        }
        Ok(())
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

    /// The error with what brought it about: the first axis on which it comes up, or the row. The name and the seeds,
    /// `own`, cannot be wrong.
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
        // What is wrong without any value is no value's fault.
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
