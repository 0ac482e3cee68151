use flora_core::text::printable;

use super::{Column, Listing, Page};
use crate::{
    Accuracy, Comparison, RunRecord, RunState,
    units::{self, bytes, date, percent},
};

/// One row per run: name, method, data, completed and planned rounds, accuracies in percent, the start time in UTC, and
/// the state.
pub fn runs(runs: &[RunRecord], page: Page) -> String {
    let is_private = runs.iter().any(|run| run.epsilon.is_some());
    let mut header =
        vec!["run", "method", "data", "rounds", "last %", "best %", "began (UTC)", "state"];
    let epsilon = 6;
    if is_private {
        header.insert(epsilon, "epsilon");
    }
    let row = |run: &RunRecord| {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(dash);
        let accuracy = [run.accuracy.last, run.accuracy.best].map(|it| of(run, share(it)));
        let began = run.started_at.map_or_else(dash, date);
        let [last, best] = accuracy;
        let state = state(run, page);
        let name = run.name.clone();
        let mut row =
            vec![name, text(&run.method), text(&run.data), progress(run), last, best, began, state];
        if is_private {
            row.insert(epsilon, spent(run));
        }
        row
    };
    let (began, data, method) = (if is_private { epsilon + 1 } else { epsilon }, 2, 1);
    let mut columns = vec![Column::Figure; header.len()];
    columns[..=data].fill(Column::Name);
    columns[header.len() - 1] = Column::Text;
    let rows = runs.iter().map(row).collect();
    let table = Listing::new(columns, header.into_iter().map(str::to_owned).collect(), rows);
    table.spare([began, data, method]).show(page)
}

/// A comparison of runs: the settings in which they differ, their results, and accuracies by round in percent.
pub fn comparison(comparison: &Comparison, page: Page) -> String {
    let runs = &comparison.runs;
    let table = |first: &str, rows: Vec<Vec<String>>| {
        let names = runs.iter().map(|run| run.name.clone());
        let header = std::iter::once(first.to_owned()).chain(names).collect();
        let columns = std::iter::once(Column::Text).chain(runs.iter().map(|_| Column::Value));
        Listing::new(columns.collect(), header, rows).show(page)
    };
    let row = |name: &str, cell: &dyn Fn(&RunRecord) -> String| {
        std::iter::once(name.to_owned()).chain(runs.iter().map(cell)).collect()
    };
    let in_round = |accuracy, round: Option<usize>| match round {
        Some(round) => format!("{} (round {round})", share(accuracy)),
        None => share(accuracy),
    };
    let scored_on = row("images", &|run| run.scored_on.clone());
    let outcome_images = runs.iter().any(|run| run.scored_on != TEST).then_some(scored_on);
    let mut outcome = vec![
        row("state", &|run| state(run, page)),
        row("rounds", &progress),
        row("initial %", &|run| share(run.accuracy.zero_shot)),
        row("last %", &|run| in_round(run.accuracy.last, run.last_round)),
        row("best %", &|run| in_round(run.accuracy.best, run.best_round)),
        row("sent up", &|run| bytes(run.bytes_up)),
        row("time", &|run| run.seconds.map_or_else(dash, units::seconds)),
        row("peak memory", &|run| run.peak_memory_bytes.map_or_else(dash, bytes)),
    ];
    if runs.iter().any(|run| run.epsilon.is_some()) {
        outcome.push(row("epsilon", &spent));
    }
    if let Some(images) = outcome_images {
        outcome.insert(2, images);
    }
    let settings = comparison.settings.iter().map(|setting| {
        let values = setting.values.iter().map(|value| value.as_ref().map_or_else(dash, plain));
        std::iter::once(setting.key.clone()).chain(values).collect()
    });
    let rounds = comparison.rounds.iter().map(|round| {
        let cell = |accuracy: &Option<f64>| accuracy.map_or_else(dash, percent);
        std::iter::once(round.round.to_string()).chain(round.accuracy.iter().map(cell)).collect()
    });
    let mut parts = match comparison.settings.len() {
        0 => vec!["the same settings in all runs".to_owned()],
        _ => vec![table("setting", settings.collect())],
    };
    parts.push(table("outcome", outcome));
    if !comparison.rounds.is_empty() {
        parts.push(table("accuracy % in round", rounds.collect()));
    }
    let warnings: Vec<String> = runs
        .iter()
        .filter_map(|run| Some(format!("{}: {}", run.name, run.warning.as_ref()?)))
        .map(|warning| printable(&warning).into_owned())
        .collect();
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.join("\n\n")
}

/// The privacy budget that a run spent.
fn spent(run: &RunRecord) -> String {
    run.epsilon.map_or_else(dash, units::bound)
}

fn dash() -> String {
    "-".to_owned()
}

/// The images of accuracies, unless stated otherwise.
const TEST: &str = "test";

/// An accuracy, with a note if it is not measured on test images.
fn of(run: &RunRecord, accuracy: String) -> String {
    match run.scored_on.as_str() {
        TEST => accuracy,
        other => format!("{accuracy} ({other})"),
    }
}

fn share(accuracy: Option<Accuracy>) -> String {
    accuracy.map_or_else(dash, |accuracy| percent(accuracy.mean))
}

/// The length of a message that fits beside the other columns.
const MOST_LETTERS: usize = 60;

/// Completed and planned rounds.
fn progress(run: &RunRecord) -> String {
    let count = |count: Option<usize>| count.map_or_else(dash, |count| count.to_string());
    format!("{}/{}", count(run.last_round), count(run.rounds))
}

fn state(run: &RunRecord, page: Page) -> String {
    let state = match run.state {
        RunState::Running => "running",
        RunState::Finished if run.stopped_early.is_some() => "finished early",
        RunState::Finished => "finished",
        RunState::Interrupted => "interrupted",
        RunState::Failed => "failed",
        RunState::Unreadable => "unreadable",
    };
    let resumable = if run.resumable { ", resumable" } else { "" };
    let reason = match run.state {
        RunState::Failed => run.error.as_ref(),
        _ => run.problem.as_ref(),
    };
    let reason = reason.map_or_else(String::new, |reason| match page {
        Page::Terminal(_) => format!(": {}", shortened(reason)),
        Page::Plain => format!(": {reason}"),
    });
    format!("{state}{resumable}{reason}")
}

/// The beginning of a message; run.json has all of it.
fn shortened(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// A value as in TOML, but strings without quotes.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
