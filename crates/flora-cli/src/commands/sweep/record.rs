//! The results of a sweep so far, and its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flora::core::files::write_atomic;
use flora::core::text;
use flora::data::{NOVEL, PartitionConfig};
use flora::report::sweep::{
    Axis, FigureSpec, Grid, GridRow, SweepEntry, SweepRecord, SweepReport, SweepResult, csv,
};
use flora::report::{FolderLock, RunSummary};
use flora::tuning::{Sweep, SweepRun};

use crate::failure::Failure;
use crate::output;

/// Files that a sweep writes besides its runs.
const FILES: [&str; 5] =
    ["results.md", "results.tex", "results.csv", "results.png", SweepRecord::FILE];

/// Checks that the tables can be written into the folder: existing ones must be an earlier sweep's.
pub(super) fn check_free(out: &Path) -> Result<(), Failure> {
    let mut found = FILES.iter().map(|name| out.join(name)).filter(|path| path.exists());
    match found.next() {
        Some(path) if !FolderLock::was_in(out) => Err(Failure::Input(format!(
            "--out: {} exists already, and no sweep wrote it; name another folder, or add --overwrite",
            text::path(&path)
        ))),
        _ => Ok(()),
    }
}

/// Row, part, and the draw if it determines the images.
type Cell = (usize, usize, Option<u64>);

pub(super) struct Record {
    out: PathBuf,
    grid: Grid,
    figure: Option<FigureSpec>,
    /// For each run, the name of its folder.
    folders: Vec<String>,
    /// For each run, its cell: all runs of a cell must use the same images.
    cells: Vec<Cell>,
    /// A slot for each run, so that tables do not depend on the order of completion.
    results: Vec<Option<SweepResult>>,
    /// Failures by run.
    failures: BTreeMap<usize, String>,
}

impl Record {
    /// Fails if the figure can never be drawn, whatever the results.
    pub(super) fn new(sweep: &Sweep, out: &Path, runs: &[SweepRun]) -> Result<Self, Failure> {
        let record = Self {
            out: out.to_owned(),
            grid: grid(sweep),
            figure: figure(sweep),
            folders: runs.iter().map(|run| run.folder.clone()).collect(),
            cells: runs.iter().map(cell).collect(),
            results: vec![None; runs.len()],
            failures: BTreeMap::new(),
        };
        if let Some(figure) = &record.figure {
            SweepReport::new(&record.grid, &[]).figure(figure).map_err(Failure::input)?;
        }
        Ok(record)
    }

    pub(super) fn add(&mut self, index: usize, run: &SweepRun, summary: RunSummary) {
        let halves = matches!(run.experiment.partition, PartitionConfig::BaseToNovel { .. });
        self.results[index] = Some(SweepResult {
            row: run.row,
            part: run.part,
            draw: run.draw,
            novel: halves.then(|| NOVEL.to_owned()),
            run: summary,
        });
    }

    pub(super) fn fail(&mut self, index: usize, run: &SweepRun, message: &str) {
        self.failures.insert(index, format!("{}: {message}", run.folder));
    }

    /// Writes all tables and the figure from the results so far.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let results = self.results();
        if results.is_empty() {
            return Ok(());
        }
        let report = SweepReport::new(&self.grid, &results);
        let [markdown, latex, table, png, _] = FILES.map(|name| self.out.join(name));
        write(&markdown, &report.markdown())?;
        write(&latex, &report.latex())?;
        write(&table, &csv(&self.grid, &results).map_err(Failure::run)?)?;
        self.kept().save(&self.out).map_err(Failure::run)?;
        let Some(figure) = &self.figure else { return Ok(()) };
        match report.figure(figure).map_err(Failure::run)? {
            Some(drawn) => output::figure(&png, &drawn).map_err(Failure::run),
            None => Ok(()),
        }
    }

    /// The tables for a terminal.
    pub(super) fn overview(&self) -> String {
        SweepReport::new(&self.grid, &self.results()).overview(output::page())
    }

    /// Runs in the same cell of the tables that use different images, labels or prompts: their mean would be
    /// meaningless.
    fn disagreement(&self) -> Option<String> {
        let mut cells: BTreeMap<Cell, &SweepResult> = BTreeMap::new();
        let results = self.results.iter().zip(&self.cells);
        let results = results.filter_map(|(result, &cell)| Some((result.as_ref()?, cell)));
        for (result, cell) in results.filter(|(result, _)| !result.run.inputs.is_empty()) {
            let first = cells.entry(cell).or_insert(result);
            let (a, b) = (&first.run.inputs, &result.run.inputs);
            if let Some(what) = a.keys().find(|name| a.get(*name) != b.get(*name)) {
                return Some(format!(
                    "the runs of row {} used different {what}, which changed in between: repeat \
                     them with --overwrite",
                    self.grid.rows[result.row].name
                ));
            }
        }
        None
    }

    /// Checks that all runs are complete and consistent.
    pub(super) fn outcome(self, runs: usize) -> Result<(), Failure> {
        if let Some(problem) = self.disagreement() {
            return Err(Failure::Run(problem));
        }
        match self.failures.len() {
            0 => Ok(()),
            count => Err(Failure::Run(format!(
                "{count} of {runs} runs failed and are not in the table:\n{}",
                self.failures.into_values().collect::<Vec<_>>().join("\n")
            ))),
        }
    }

    /// What `flora report` reads.
    fn kept(&self) -> SweepRecord {
        let runs = self.folders.iter().zip(&self.results);
        let entry = |(folder, result): (&String, &Option<SweepResult>)| {
            Some(SweepEntry { folder: folder.clone(), result: result.clone()? })
        };
        SweepRecord {
            grid: self.grid.clone(),
            figure: self.figure.clone(),
            planned: self.folders.len(),
            runs: runs.filter_map(entry).collect(),
        }
    }

    fn results(&self) -> Vec<SweepResult> {
        self.results.iter().flatten().cloned().collect()
    }
}

fn cell(run: &SweepRun) -> Cell {
    (run.row, run.part, run.draw.filter(|_| run.experiment.data.limit.is_some()))
}

fn grid(sweep: &Sweep) -> Grid {
    let axes = sweep.axes.iter().map(|axis| Axis {
        name: axis.name.clone(),
        values: axis.values.iter().map(|value| value.name.clone()).collect(),
    });
    // A list of rows has no axes, so its rows have no values on them.
    let is_list = sweep.axes.is_empty();
    let rows = sweep.combinations().into_iter().map(|row| GridRow {
        name: row.name,
        values: if is_list { Vec::new() } else { row.values },
        baseline: row.baseline,
    });
    Grid {
        title: sweep.name.clone(),
        axes: axes.collect(),
        rows: rows.collect(),
        baseline: sweep.baseline_name(),
        compared: sweep.compare,
    }
}

fn figure(sweep: &Sweep) -> Option<FigureSpec> {
    let figure = sweep.figure.as_ref()?;
    let x = sweep.axes.iter().position(|axis| axis.name == figure.x)?;
    Some(FigureSpec { title: figure.title.clone().unwrap_or_else(|| sweep.name.clone()), x })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_atomic(path, text.as_bytes())
        .map_err(|error| Failure::Run(format!("cannot write {}: {error}", path.display())))
}
