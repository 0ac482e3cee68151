//! The current results of a sweep, as a file from which its report is made.

use std::path::Path;

use flora_core::files::write_atomic;
use serde::{Deserialize, Serialize};

use super::{FigureSpec, Grid, SweepResult};
use crate::{ReportError, folder::read};

/// The content of a sweep's `sweep.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// Axes and rows.
    pub grid: Grid,
    /// Its figure, if it has one.
    #[serde(default)]
    pub figure: Option<FigureSpec>,
    /// The number of runs when it is complete.
    pub planned: usize,
    /// The finished runs.
    pub runs: Vec<SweepEntry>,
}

/// A run of a sweep, with its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepEntry {
    /// The name of its folder inside the sweep's folder.
    pub folder: String,
    /// Its result.
    pub result: SweepResult,
}

impl SweepRecord {
    /// The name of the file in a sweep's folder.
    pub const FILE: &'static str = "sweep.json";

    /// The results, in the order of the sweep's runs.
    pub fn results(&self) -> Vec<SweepResult> {
        self.runs.iter().map(|entry| entry.result.clone()).collect()
    }

    /// Writes the file, completely or not at all.
    ///
    /// # Errors
    /// [`ReportError::Io`], [`ReportError::Json`].
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ReportError> {
        let path = folder.as_ref().join(Self::FILE);
        let json = |source| ReportError::Json { path: path.clone(), line: None, source };
        let text = serde_json::to_vec(self).map_err(json)?;
        write_atomic(&path, &text).map_err(ReportError::io("write", &path))
    }

    /// Reads the file in a sweep's folder.
    ///
    /// # Errors
    /// [`ReportError::Io`], [`ReportError::Json`], and [`ReportError::Damaged`] for indices without a row or axis.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let path = folder.as_ref().join(Self::FILE);
        let text = read::text(&path).map_err(ReportError::io("read", &path))?;
        let record: Self = serde_json::from_str(&text).map_err(|source| ReportError::Json {
            path: path.clone(),
            line: None,
            source,
        })?;
        match record.problem() {
            None => Ok(record),
            Some(problem) => Err(ReportError::Damaged {
                path,
                problem: format!(
                    "{problem}: run the sweep again; runs that are finished are not repeated"
                ),
            }),
        }
    }

    /// An index out of range.
    fn problem(&self) -> Option<String> {
        let Grid { rows, axes, .. } = &self.grid;
        for (at, row) in rows.iter().enumerate() {
            let fits = row.values.len() == axes.len()
                && row.values.iter().zip(axes).all(|(&value, axis)| value < axis.values.len())
                && row.baseline.is_none_or(|baseline| baseline < rows.len());
            if !fits {
                return Some(format!("row {at} does not go with the axes"));
            }
        }
        if let Some(figure) = &self.figure
            && figure.x >= axes.len()
        {
            return Some(format!(
                "the figure is of axis {}, and there are {}",
                figure.x,
                axes.len()
            ));
        }
        let lost = self.runs.iter().find(|entry| entry.result.row >= rows.len());
        lost.map(|entry| {
            format!("{} is of row {}, and there are {}", entry.folder, entry.result.row, rows.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, GridRow, tests::result};
    use super::*;

    fn record() -> SweepRecord {
        let axis = Axis { name: "rank".into(), values: vec!["1".into(), "2".into()] };
        let row = |value: usize| GridRow {
            name: format!("rank {value}"),
            values: vec![value],
            baseline: Some(0),
        };
        let entry = |row, seed| SweepEntry {
            folder: format!("rank-{row}-seed-{seed}"),
            result: result(row, 0, seed, &[(0.5, true), (0.75, true)]),
        };
        SweepRecord {
            grid: Grid {
                title: "a".into(),
                axes: vec![axis],
                rows: vec![row(0), row(1)],
                ..Grid::default()
            },
            figure: Some(FigureSpec { title: "Ranks".into(), x: 0 }),
            planned: 2,
            runs: vec![entry(0, 0), entry(1, 0)],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        record().save(folder.path()).unwrap();
        assert_eq!(SweepRecord::load(folder.path()).unwrap(), record());
    }

    #[test]
    fn numbers_that_point_to_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |change: fn(&mut SweepRecord), problem: &str| {
            let mut record = record();
            change(&mut record);
            record.save(folder.path()).unwrap();
            let error = SweepRecord::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("sweep.json"), "{error}");
        };
        refused(|it| it.grid.rows[1].values = vec![2], "row 1 does not go with the axes");
        refused(|it| it.grid.rows[1].values = vec![], "row 1 does not go with the axes");
        refused(|it| it.grid.rows[1].baseline = Some(9), "row 1 does not go with the axes");
        refused(|it| it.figure.as_mut().unwrap().x = 1, "the figure is of axis 1");
        refused(|it| it.runs[1].result.row = 2, "rank-1-seed-0 is of row 2");
        std::fs::write(folder.path().join("sweep.json"), "{").unwrap();
        assert!(SweepRecord::load(folder.path()).unwrap_err().to_string().contains("sweep.json"));
    }
}
