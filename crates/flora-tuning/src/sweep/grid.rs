//! Rows as combinations of axis values.

use super::{Baseline, Sweep, SweepAxis, SweepRow};

/// A row of a sweep's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// The name in tables.
    pub name: String,
    /// The index of its value on each axis. The rows of a list are the values of a single axis.
    pub values: Vec<usize>,
    /// The index of its baseline row.
    pub baseline: Option<usize>,
    /// The prefix of its runs' folders.
    pub(super) folder: String,
}

impl Sweep {
    /// The rows, in the order of the table: the last axis changes fastest.
    pub fn combinations(&self) -> Vec<Combination> {
        let mut combinations = vec![Vec::new()];
        for values in self.dimensions() {
            let with = |combination: &Vec<usize>| {
                let with = |value| [combination.as_slice(), &[value]].concat();
                (0..values.len()).map(with).collect::<Vec<_>>()
            };
            combinations = combinations.iter().flat_map(with).collect();
        }
        combinations.retain(|values| !self.skips(values));
        let mut combinations: Vec<_> =
            combinations.into_iter().map(|values| self.combination(values)).collect();
        let baselines: Vec<_> =
            combinations.iter().map(|own| self.baseline_of(own, &combinations)).collect();
        for (combination, baseline) in combinations.iter_mut().zip(baselines) {
            combination.baseline = baseline;
        }
        combinations
    }

    /// The baseline of the rows, in words.
    pub fn baseline_name(&self) -> Option<String> {
        let values = match self.baseline.as_ref()? {
            Baseline::Row(name) => return Some(name.clone()),
            Baseline::Values(values) => values,
        };
        let label = |(axis, name): (&String, &String)| {
            let axis = &self.axes[self.axis(axis)?];
            Some(axis.label(axis.value(name)?))
        };
        let labels: Vec<String> = values.iter().filter_map(label).collect();
        let others = if values.len() < self.axes.len() { " at the row's other values" } else { "" };
        Some(format!("{}{others}", labels.join(", ")))
    }

    /// Number of combinations before any is left out.
    pub(super) fn product(&self) -> usize {
        self.dimensions().iter().map(|values| values.len()).fold(1, usize::saturating_mul)
    }

    /// A combination's values.
    pub(super) fn values_of(&self, combination: &Combination) -> Vec<&SweepRow> {
        let dimensions = self.dimensions().into_iter();
        dimensions.zip(&combination.values).map(|(values, &value)| &values[value]).collect()
    }

    /// The index of the axis of this name.
    pub(super) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }

    fn dimensions(&self) -> Vec<&[SweepRow]> {
        match self.axes.is_empty() {
            true => vec![&self.rows],
            false => self.axes.iter().map(|axis| axis.values.as_slice()).collect(),
        }
    }

    /// Whether all of a rule's values are among these.
    fn skips(&self, values: &[usize]) -> bool {
        self.skip.iter().any(|rule| {
            rule.iter().all(|(axis, names)| {
                let value = |axis: usize| &self.axes[axis].values[values[axis]].name;
                self.axis(axis).is_some_and(|axis| names.list().contains(value(axis)))
            })
        })
    }

    fn combination(&self, values: Vec<usize>) -> Combination {
        let labels: Vec<String> = if self.axes.is_empty() {
            values.iter().map(|&value| self.rows[value].name.clone()).collect()
        } else {
            self.axes.iter().zip(&values).map(|(axis, &value)| axis.label(value)).collect()
        };
        let folders: Vec<String> = labels.iter().map(|label| slug(label)).collect();
        Combination {
            name: labels.join(", "),
            // No slug has an underscore, so underscores separate them unambiguously.
            folder: folders.join("_"),
            values,
            baseline: None,
        }
    }

    fn baseline_of(&self, own: &Combination, all: &[Combination]) -> Option<usize> {
        match self.baseline.as_ref()? {
            Baseline::Row(name) => all.iter().position(|other| other.name == *name),
            Baseline::Values(wanted) => {
                let mut values = own.values.clone();
                for (axis, name) in wanted {
                    let axis = self.axis(axis)?;
                    values[axis] = self.axes[axis].value(name)?;
                }
                all.iter().position(|other| other.values == values)
            }
        }
    }
}

impl SweepAxis {
    /// The name of this value in rows: a bare number is prefixed by the axis name.
    pub(super) fn label(&self, value: usize) -> String {
        let name = &self.values[value].name;
        match name.trim().parse::<f64>() {
            Ok(_) => format!("{} {name}", self.name),
            Err(_) => name.clone(),
        }
    }

    /// The index of the value of this name.
    pub(super) fn value(&self, name: &str) -> Option<usize> {
        self.values.iter().position(|value| value.name == name)
    }
}

/// A name as a folder name: its letters and digits, in lower case, separated by hyphens.
pub(super) fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
