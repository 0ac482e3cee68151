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

/// The grid of a sweep, in the order in which tables show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The sweep's name.
    pub title: String,
    /// The axes whose combinations are the rows; empty if the rows are a list.
    pub axes: Vec<Axis>,
    /// The rows.
    pub rows: Vec<GridRow>,
    /// The baseline of the rows, in words.
    pub baseline: Option<String>,
    /// The accuracies that are compared.
    pub compared: Compared,
}

/// An axis of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// Its values, by name.
    pub values: Vec<String>,
}

/// A row of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GridRow {
    /// Its name.
    pub name: String,
    /// The value that it has on each axis, from 0.
    pub values: Vec<usize>,
    /// Its baseline row, from 0.
    pub baseline: Option<usize>,
}

/// The specification of [`SweepReport::figure`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FigureSpec {
    /// The title.
    pub title: String,
    /// The horizontal axis, from 0; the combinations of all others are the series.
    pub x: usize,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResult {
    /// The row, from 0.
    pub row: usize,
    /// The number of this run among those that the row averages, from 0.
    pub part: usize,
    /// The draw of the partition, if the sweep has several.
    pub draw: Option<u64>,
    /// The client that is tested on the classes that no client trains on, if there is one.
    pub novel: Option<String>,
    /// The run.
    pub run: RunSummary,
}

/// Mean and sample standard deviation over seeds, and over draws if there are several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation, with `n - 1`; `None` for a single seed.
    pub deviation: Option<f64>,
}

impl Spread {
    /// `None` without values.
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
