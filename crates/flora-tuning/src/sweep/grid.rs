//! Rows as combinations of the values of axes.

use super::{Baseline, Sweep, SweepAxis, SweepRow};

/// A row of a sweep's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// What the table calls it.
    pub name: String,
    /// The value that it has on each axis, from 0. The rows of a list are the values of a single axis.
    pub values: Vec<usize>,
    /// The row that it is compared with, from 0.
    pub baseline: Option<usize>,
    /// The beginning of its runs' folders.
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

    /// What the rows are compared with, in words.
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

    /// How many combinations there are before any is left out.
    pub(super) fn product(&self) -> usize {
        self.dimensions().iter().map(|values| values.len()).fold(1, usize::saturating_mul)
    }

    /// A combination's values.
    pub(super) fn values_of(&self, combination: &Combination) -> Vec<&SweepRow> {
        let dimensions = self.dimensions().into_iter();
        dimensions.zip(&combination.values).map(|(values, &value)| &values[value]).collect()
    }

    /// The place of the axis of this name.
    pub(super) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }

    fn dimensions(&self) -> Vec<&[SweepRow]> {
        match self.axes.is_empty() {
            true => vec![&self.rows],
            false => self.axes.iter().map(|axis| axis.values.as_slice()).collect(),
        }
    }

    /// Whether the values are all of some rule's.
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
            // No slug has an underscore: where one ends is where the next begins.
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
    /// What a row that has this value is called by: a bare number says what it is a number of.
    pub(super) fn label(&self, value: usize) -> String {
        let name = &self.values[value].name;
        match name.trim().parse::<f64>() {
            Ok(_) => format!("{} {name}", self.name),
            Err(_) => name.clone(),
        }
    }

    /// The place of the value of this name.
    pub(super) fn value(&self, name: &str) -> Option<usize> {
        self.values.iter().position(|value| value.name == name)
    }
}

/// A name as that of a folder: its letters and digits, in small letters, and hyphens between.
pub(super) fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
