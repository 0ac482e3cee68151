//! The data of the run and its costs: images, bytes, seconds, and answers that were left out.

use std::collections::BTreeMap;

use flora_federation::Reason;
use maud::html;

use super::count;
use crate::{
    page::{
        charts::{Bars, Heat, Quantity},
        data::{Round, Run, Shares},
        html::{Chart, Section, Table, charts},
    },
    units,
};

/// More rows than these are not read.
const MOST_ROWS: usize = 200;
/// More numbers of rounds than these are not read, either.
const MOST_LISTED: usize = 30;
/// A heat map with more clients than these has no room for their names.
const MOST_CLIENTS: usize = 100;

/// The partition.
pub(super) fn data(run: &Run) -> Option<Section> {
    let shares = run.shares.as_ref()?;
    Section::of_charts("data", "Data", [partition(shares, "partition")])
}

/// How many training images of each class every client has.
pub(in crate::page) fn partition(shares: &Shares, id: &'static str) -> Option<Chart> {
    let clients = shares.clients.len().min(MOST_CLIENTS);
    let images: usize = shares.train.iter().flatten().sum();
    let mut says = format!(
        "{} training images of {} over {}.",
        units::count(images),
        match shares.classes.len() {
            1 => "1 class".to_owned(),
            more => format!("{more} classes"),
        },
        count(shares.clients.len(), "client")
    );
    if clients < shares.clients.len() {
        says += &format!(" The first {clients} clients are shown.");
    }
    let counts = shares.train[..clients].iter().enumerate().flat_map(|(row, counts)| {
        counts.iter().enumerate().map(move |(column, &count)| ((row, column), count as u64))
    });
    Heat {
        id,
        title: "Training images by client and class".to_owned(),
        says,
        of: ["client", "class"],
        rows: shares.clients[..clients].to_vec(),
        columns: shares.classes.clone(),
        counts: counts.collect(),
    }
    .chart()
}

/// Bytes and seconds.
pub(super) fn costs(run: &Run) -> Option<Section> {
    let rounds: Vec<(usize, &Round)> = run.history.trained().collect();
    let names: Vec<String> = rounds.iter().map(|(round, _)| round.to_string()).collect();
    let values = |value: fn(&Round) -> f64| rounds.iter().map(|(_, round)| value(round)).collect();
    let sent = Bars {
        id: "bytes",
        title: "Bytes by round".to_owned(),
        says: sent_sentence(run),
        x: "round",
        y: Quantity::Bytes,
        bars: names.clone(),
        parts: vec![
            ("from clients".to_owned(), values(|it| it.bytes_up as f64)),
            ("to clients".to_owned(), values(|it| it.bytes_down as f64)),
        ],
    };
    let time = Bars {
        id: "seconds",
        title: "Seconds by round".to_owned(),
        says: "Training is the sum of the clients' own seconds: if they train in parallel, a round is shorter."
            .to_owned(),
        x: "round",
        y: Quantity::Seconds,
        bars: names,
        parts: vec![
            ("training, clients' sum".to_owned(), values(|it| it.training)),
            ("aggregation".to_owned(), values(|it| it.aggregation)),
            ("evaluation".to_owned(), values(|it| it.evaluation)),
        ],
    };
    let shown = [sent.chart(), time.chart(), phases_of(run)];
    Section::of_charts("costs", "Bytes and seconds", shown)
}

fn sent_sentence(run: &Run) -> String {
    let record = &run.record;
    let mut text = format!(
        "{} from clients and {} to clients for training, over all rounds.",
        units::bytes(record.bytes_up),
        units::bytes(record.bytes_down)
    );
    let sum = |bytes: fn(&Round) -> u64| {
        run.history.trained().map(|(_, round)| bytes(round)).fold(0, u64::saturating_add)
    };
    let (up, down) = (sum(|round| round.bytes_up), sum(|round| round.bytes_down));
    let (up, down) = (record.bytes_up.saturating_sub(up), record.bytes_down.saturating_sub(down));
    if up > 0 || down > 0 {
        text += &format!(
            " Of these, {} and {} were used by attempts below the quorum, which have no bar.",
            units::bytes(up),
            units::bytes(down)
        );
    }
    text
}

/// The wall clock of the run by phase.
fn phases_of(run: &Run) -> Option<Chart> {
    let phases = &run.history.phases;
    let sum: f64 = phases.iter().map(|(_, seconds)| seconds).sum();
    Bars {
        id: "phases",
        title: "Seconds by phase".to_owned(),
        says: format!("Wall clock: {} in all phases together.", units::seconds(sum)),
        x: "phase",
        y: Quantity::Seconds,
        bars: phases.iter().map(|(name, _)| name.clone()).collect(),
        parts: vec![("seconds".to_owned(), phases.iter().map(|(_, seconds)| *seconds).collect())],
    }
    .chart()
}

/// The wall clock of each run by phase.
pub(in crate::page) fn phases(runs: &[&Run], id: &'static str) -> Option<Chart> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| &run.history.phases) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let of = |run: &Run, name: &str| {
        run.history.phases.iter().find(|(phase, _)| phase == name).map_or(0.0, |it| it.1)
    };
    let longest = names.iter().copied().reduce(|a, b| {
        let sum = |name: &str| runs.iter().map(|run| of(run, name)).sum::<f64>();
        if sum(b) > sum(a) { b } else { a }
    });
    let says = longest.map_or_else(String::new, |name| {
        format!("Wall clock, from start to end. Most of it is the phase {name}.")
    });
    let parts = names
        .iter()
        .map(|name| ((*name).to_owned(), runs.iter().map(|run| of(run, name)).collect()));
    Bars {
        id,
        title: "Seconds by phase".to_owned(),
        says,
        x: "run",
        y: Quantity::Seconds,
        bars: runs.iter().map(|run| run.label.clone()).collect(),
        parts: parts.collect(),
    }
    .chart()
}

/// Why answers were left out.
pub(in crate::page) const REASONS: [(Reason, &str); 3] =
    [(Reason::Failed, "failed"), (Reason::Late, "late"), (Reason::Refused, "refused")];

/// Clients that were left out of rounds.
pub(super) fn failures(run: &Run) -> Option<Section> {
    let history = &run.history;
    if history.failures.is_empty() {
        return None;
    }
    let rounds: Vec<usize> = history.rounds.keys().copied().filter(|&round| round > 0).collect();
    let values = |reason: Reason| -> Vec<f64> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for failure in history.failures.iter().filter(|it| it.reason == reason) {
            *counts.entry(failure.round).or_default() += 1;
        }
        rounds.iter().map(|round| counts.get(round).copied().unwrap_or(0) as f64).collect()
    };
    let total = |reason| history.failures.iter().filter(|it| it.reason == reason).count();
    let left_out = match history.failures.len() {
        1 => "1 reply".to_owned(),
        more => format!("{} replies", units::count(more)),
    };
    let totals = REASONS.map(|(reason, word)| format!("{} {word}", units::count(total(reason))));
    let chart = Bars {
        id: "failures",
        title: "Clients left out, by round and reason".to_owned(),
        says: format!("{left_out} left out: {}.", totals.join(", ")),
        x: "round",
        y: Quantity::Count("clients"),
        bars: rounds.iter().map(usize::to_string).collect(),
        parts: REASONS.map(|(reason, word)| (word.to_owned(), values(reason))).to_vec(),
    };
    let content = html! {
        p {
            "Failed: the client failed at its task or could not be reached. Late: its reply did not arrive before the deadline. "
            "Refused: its reply did not pass the checks. None of these replies is part of a model."
        }
        @if let Some(chart) = chart.chart() { (charts(&[chart])) }
        (messages(run).html())
    };
    Some(Section::new("failures-and-exclusions", "Failures and exclusions", content))
}

/// The same message of a client in several rounds is one row.
fn messages(run: &Run) -> Table {
    let mut told: BTreeMap<(&str, &str, &str), Vec<usize>> = BTreeMap::new();
    for failure in &run.history.failures {
        let word = REASONS.iter().find(|(reason, _)| *reason == failure.reason);
        let word = word.map_or("failed", |(_, word)| word);
        told.entry((&failure.client, word, &failure.message)).or_default().push(failure.round);
    }
    let mut table =
        Table::new("Why clients were left out", ["client", "reason", "rounds", "message"]).text();
    for ((client, reason, message), rounds) in told.iter().take(MOST_ROWS) {
        let mut listed: Vec<String> =
            rounds.iter().take(MOST_LISTED).map(usize::to_string).collect();
        let others = rounds.len() - listed.len();
        listed.extend((others > 0).then(|| format!("and {} more", units::count(others))));
        table.row([*client, reason, &listed.join(", "), message]);
    }
    if told.len() > MOST_ROWS {
        let others = units::count(told.len() - MOST_ROWS);
        table.notes.push(format!("{others} more are in metrics.jsonl."));
    }
    table
}
