//! The page of a sweep: its tables and its figure.

use std::{collections::BTreeMap, path::Path};

use flora_core::text::printable;
use maud::html;

use super::{
    charts::{Line, Lines},
    data::Run,
    html::{Card, Chart, Page, Picture, Section, Table, Tone, callout, cards},
    one,
};
use crate::{
    ReportError,
    sheet::Sheet,
    sweep::{FigureSpec, SweepRecord, SweepReport},
    units::{self, percent},
};

/// More lines than these are not told apart.
const MOST_LINES: usize = 12;

/// A report on the sweep in the folder.
///
/// # Errors
/// As [`SweepRecord::load`].
pub(super) fn page(folder: &Path) -> Result<Page, ReportError> {
    let record = SweepRecord::load(folder)?;
    let results = record.results();
    let report = SweepReport::new(&record.grid, &results);
    let mut sections = vec![overview(&record, &report, folder)];
    sections.extend(figures(&record, &report, folder));
    sections.push(tables(&report));
    sections.push(runs(&record));
    Ok(Page {
        title: record.grid.title.clone(),
        kind: "Sweep",
        subtitle: format!(
            "{} of {} · {}",
            record.runs.len(),
            one::count(record.planned, "run"),
            folder.display()
        ),
        state: Some(match record.runs.len() >= record.planned {
            true => ("complete".to_owned(), "good"),
            false => ("incomplete".to_owned(), "open"),
        }),
        sections,
    })
}

fn overview(record: &SweepRecord, report: &SweepReport<'_>, folder: &Path) -> Section {
    let best = report.rows().iter().filter_map(|row| Some((row.row, row.accuracy?)));
    let best = best.reduce(|a, b| if b.1.mean > a.1.mean { b } else { a });
    let content = html! {
        @if let Some((row, accuracy)) = best {
            p id="headline" class="headline" {
                (printable(&record.grid.rows[row].name))
                " has the highest mean accuracy after the last round: " (percent(accuracy.mean))
                @if let Some(deviation) = accuracy.deviation { " ± " (percent(deviation)) }
                " %."
            }
        }
        (cards(&numbers(record, report)))
        @if record.runs.len() < record.planned {
            (callout(Tone::Note, &format!(
                "{} of {} runs are done; the same `flora sweep` command with --out {} continues.",
                record.runs.len(), record.planned, flora_core::shell::quoted(folder)
            )))
        }
    };
    Section::new("overview", "Overview", content)
}

fn numbers(record: &SweepRecord, report: &SweepReport<'_>) -> Vec<Card> {
    let seconds: f64 = record.runs.iter().map(|entry| entry.result.run.seconds.total).sum();
    let sent: u64 = record
        .runs
        .iter()
        .flat_map(|entry| [entry.result.run.bytes_up, entry.result.run.bytes_down])
        .fold(0, u64::saturating_add);
    let seeds = report.rows().iter().map(|row| row.seeds).max().unwrap_or(0);
    let worst = report.rows().iter().filter_map(|row| row.worst).map(|worst| worst.mean);
    let card = |name, value: String, detail: &str| Card { name, value, detail: detail.to_owned() };
    let mut cards = vec![
        card("Rows", record.grid.rows.len().to_string(), "combinations of settings"),
        card("Seeds", seeds.to_string(), "of each row at most"),
        card("Runs", record.runs.len().to_string(), &format!("of {} planned", record.planned)),
        card("Time", units::seconds(seconds), "of all runs together"),
        card("Sent", units::bytes(sent), "up and down, of all runs together"),
    ];
    if let Some(worst) = worst.reduce(f64::max) {
        let value = format!("{} %", percent(worst));
        cards.insert(0, card("Worst client", value, "the highest mean of a row"));
    }
    cards
}

fn figures(record: &SweepRecord, report: &SweepReport<'_>, folder: &Path) -> Option<Section> {
    let shown = [figure(record, report), by_round(record, folder)];
    Section::of_charts("figures", "Figures", shown)
}

/// The sweep's own figure, or where it names none, accuracy along its last axis.
fn figure(record: &SweepRecord, report: &SweepReport<'_>) -> Option<Chart> {
    let usual = || {
        let x = record.grid.axes.len().checked_sub(1)?;
        Some(FigureSpec { title: format!("Accuracy by {}", record.grid.axes[x].name), x })
    };
    let spec = record.figure.clone().or_else(usual)?;
    let mut table =
        Table::new(spec.title.clone(), ["", "accuracy, %", "deviation, points", "runs"]);
    for row in report.rows() {
        let Some(accuracy) = row.accuracy else { continue };
        table.row([
            record.grid.rows[row.row].name.clone(),
            percent(accuracy.mean),
            accuracy.deviation.map_or_else(|| "–".to_owned(), percent),
            row.runs.to_string(),
        ]);
    }
    // The page has the title.
    let untitled = FigureSpec { title: String::new(), ..spec.clone() };
    let drawn = report.figure(&untitled);
    let drawn = drawn.and_then(|usual| Ok(usual.zip(report.narrow_figure(&untitled)?)));
    let picture = match drawn {
        Ok(figures) => figures.map(|(usual, narrow)| Picture::Both { usual, narrow })?,
        Err(error) => Picture::Missing(error.to_string()),
    };
    Some(Chart {
        id: "sweep",
        title: spec.title,
        says: "Accuracy of the global model after the last round, with its deviation over runs."
            .to_owned(),
        picture,
        table,
    })
}

/// What becomes of each row round by round, the mean over its runs.
fn by_round(record: &SweepRecord, folder: &Path) -> Option<Chart> {
    if record.grid.rows.len() > MOST_LINES {
        return None;
    }
    let mut sums: Vec<BTreeMap<usize, Vec<f64>>> = vec![BTreeMap::new(); record.grid.rows.len()];
    for entry in &record.runs {
        // Runs may have been moved away; the tables do not need them.
        let Ok(run) = Run::read(&folder.join(&entry.folder)) else { continue };
        for tested in &run.history.evaluated {
            sums[entry.result.row].entry(tested.round).or_default().push(100.0 * tested.accuracy);
        }
    }
    let line = |(row, rounds): (usize, BTreeMap<usize, Vec<f64>>)| {
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        Line::new(&record.grid.rows[row].name, rounds.into_iter().map(|(at, it)| (at, mean(it))))
    };
    Lines {
        id: "accuracy",
        title: "Accuracy by round".to_owned(),
        says: "The mean over the runs of each row.".to_owned(),
        y: "accuracy, %",
        lines: sums.into_iter().enumerate().map(line).collect(),
        level: None,
        format: one::hundredths,
    }
    .chart()
}

fn tables(report: &SweepReport<'_>) -> Section {
    let sheets: Vec<Table> =
        report.sheets().iter().filter(|sheet| !sheet.is_empty()).map(table).collect();
    let content = html! {
        details class="data" id="legend-data" {
            summary { "How to read the tables" }
            ul class="legend" { @for line in report.sentences() { li { (printable(&line)) } } }
        }
        @for sheet in &sheets { (sheet.html()) }
    };
    Section::new("tables", "Tables", content)
}

fn table(sheet: &Sheet) -> Table {
    let mut table = Table::new(sheet.caption.clone(), sheet.headings());
    for row in 0..sheet.len() {
        table.row(sheet.row(row));
    }
    table.notes = sheet.notes().to_vec();
    table
}

fn runs(record: &SweepRecord) -> Section {
    let mut table = Table::new("Runs", ["folder", "row", "seed", "accuracy, last round, %"]).text();
    for entry in &record.runs {
        let run = &entry.result.run;
        let accuracy = run.accuracy.last.map(|it| it.mean);
        table.row([
            entry.folder.clone(),
            record.grid.rows[entry.result.row].name.clone(),
            run.seed.to_string(),
            units::percent_or_dash(accuracy),
        ]);
    }
    let content = html! {
        p { "`flora report` on one of these folders shows that run; on several, it overlays them." }
        (table.html())
    };
    Section::new("runs", "Runs", content)
}
