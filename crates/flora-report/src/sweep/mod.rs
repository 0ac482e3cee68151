//! The results of a sweep: many runs with several seeds, as tables and a figure.

mod csv;
mod figure;
mod format;
mod halves;
mod paired;
mod pivot;
mod record;
mod report;
mod rows;

use serde::{Deserialize, Serialize};

use crate::RunSummary;

pub use self::csv::csv;
pub use flora_federation::Compared;
pub use paired::{Difference, Pairs};
pub use record::{SweepEntry, SweepRecord};
pub use report::SweepReport;
pub use rows::{Relative, SweepRow, rows};

/// What a sweep runs, in the order in which tables show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The sweep's name.
    pub title: String,
    /// What the rows are combinations of; empty where they are a list.
    pub axes: Vec<Axis>,
    /// The rows.
    pub rows: Vec<GridRow>,
    /// What rows are compared with, in words.
    pub baseline: Option<String>,
    /// Which accuracies are compared.
    pub compared: Compared,
}

/// Something that a sweep varies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What it is.
    pub name: String,
    /// Its values, by name.
    pub values: Vec<String>,
}

/// A row of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GridRow {
    /// What it is called.
    pub name: String,
    /// The value that it has on each axis, from 0.
    pub values: Vec<usize>,
    /// The row that it is compared with, from 0.
    pub baseline: Option<usize>,
}

/// What [`SweepReport::figure`] draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FigureSpec {
    /// The title.
    pub title: String,
    /// The axis that runs from left to right, from 0; all others together make the series.
    pub x: usize,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResult {
    /// The row, from 0.
    pub row: usize,
    /// Which of the runs that the row is the mean of, from 0.
    pub part: usize,
    /// The draw of its images, where the sweep has several.
    pub draw: Option<u64>,
    /// The client that is tested on the classes that nobody trains on, where there is one.
    pub novel: Option<String>,
    /// The run.
    pub run: RunSummary,
}

/// Mean and sample standard deviation over seeds, and over draws where there are several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation, with `n - 1`; `None` for a single seed.
    pub deviation: Option<f64>,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }

    /// In another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        let deviation = self.deviation.map(|deviation| factor * deviation);
        Self { mean: factor * self.mean, deviation }
    }
}

#[cfg(test)]
mod tests;
