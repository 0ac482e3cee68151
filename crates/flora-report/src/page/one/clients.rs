//! The clients.

use std::collections::BTreeMap;

use maud::html;

use crate::{
    page::{
        charts::{Line, Lines},
        data::{Evaluation, Run},
        html::{Section, Table, charts},
    },
    units::{count, percent},
};

/// More lines than these are not told apart: what they are spread over is drawn instead.
const MOST_LINES: usize = 8;
/// A table with more columns has no room beside the chart.
const MOST_BESIDE: usize = 6;
/// More rows than these are not read.
const MOST_ROWS: usize = 100;

pub(super) fn section(run: &Run) -> Option<Section> {
    let history = &run.history;
    let last = history.last().filter(|last| !last.clients.is_empty())?;
    let chart = Lines {
        id: "client-accuracy",
        title: "Accuracy of each client by round".to_owned(),
        says: sentence(last),
        y: "accuracy, %",
        lines: lines(run, last),
        level: None,
        format: super::progress::hundredths,
    };
    let (chart, table) = (chart.chart(), table(run, last));
    let content = html! {
        @match chart {
            Some(chart) if table.head.len() <= MOST_BESIDE => {
                div class="beside" { (chart.html()) div { (table.html()) } }
            }
            chart => {
                @if let Some(chart) = chart { (charts(&[chart])) }
                (table.html())
            }
        }
    };
    Some(Section::new("clients", "Clients", content))
}

fn sentence(last: &Evaluation) -> String {
    let best = last.clients.iter().reduce(|a, b| if b.accuracy > a.accuracy { b } else { a });
    match (last.worst(), best) {
        (Some(worst), Some(best)) if worst.client != best.client => format!(
            "After round {}, from {} % ({}) to {} % ({}).",
            last.round,
            percent(worst.accuracy),
            worst.client,
            percent(best.accuracy),
            best.client
        ),
        _ => String::new(),
    }
}

/// A line for each client, or for some quantiles of many.
fn lines(run: &Run, last: &Evaluation) -> Vec<Line> {
    let history = &run.history;
    if last.clients.len() <= MOST_LINES {
        let line = |client: &str| {
            let points = history.evaluated.iter();
            let point = |it: &Evaluation| Some((it.round, 100.0 * it.of(client)?.accuracy));
            Line::new(client, points.filter_map(point))
        };
        return last.clients.iter().map(|it| line(&it.client)).collect();
    }
    let quantiles = [
        ("best", 1.0),
        ("upper quarter", 0.75),
        ("median", 0.5),
        ("lower quarter", 0.25),
        ("worst", 0.0),
    ];
    let sorted = |it: &Evaluation| {
        let mut values: Vec<f64> = it.clients.iter().map(|it| it.accuracy).collect();
        values.sort_by(f64::total_cmp);
        (it.round, values)
    };
    let rounds: Vec<(usize, Vec<f64>)> = history.evaluated.iter().map(sorted).collect();
    let line = |(name, share): (&str, f64)| {
        let points = rounds.iter();
        Line::new(name, points.filter_map(|(at, it)| Some((*at, 100.0 * quantile(it, share)?))))
    };
    quantiles.into_iter().map(line).collect()
}

/// The value that this share of the sorted values does not exceed, between neighbours as numpy's `quantile` has it.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let place = share * values.len().checked_sub(1)? as f64;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

fn table(run: &Run, last: &Evaluation) -> Table {
    let history = &run.history;
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in &history.failures {
        *left_out.entry(&failure.client).or_default() += 1;
    }
    let has_failures = !left_out.is_empty();
    let start = history.start();
    let images: BTreeMap<&str, usize> =
        history.clients.iter().map(|(id, images, _)| (id.as_str(), *images)).collect();
    let mut head = vec!["client", "trained on", "scored on"];
    head.extend(start.map(|_| "before, %"));
    head.push("after, %");
    head.extend(start.map(|_| "change"));
    head.extend(has_failures.then_some("left out"));
    let caption = format!("Accuracy of the clients before training and after round {}", last.round);
    let mut table = Table::new(caption, head);
    table.notes.push(format!(
        "Trained on and scored on: images, the latter from the {} images. Change: percentage points.{}",
        run.record.scored_on,
        if has_failures { " Left out: number of missing or refused replies." } else { "" }
    ));
    let mut scores: Vec<_> = last.clients.iter().collect();
    let others = scores.len().saturating_sub(MOST_ROWS);
    if others > 0 {
        scores.sort_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
        scores.truncate(MOST_ROWS);
        table.notes.push(format!(
            "The {MOST_ROWS} clients with the lowest accuracy; {} more are in metrics.jsonl.",
            count(others)
        ));
    }
    for score in scores {
        let known = images.get(score.client.as_str()).copied();
        let mut row = vec![score.client.clone(), known.map_or_else(|| "–".into(), count)];
        row.push(count(score.num_examples));
        let before = start.map(|start| start.of(&score.client).map(|it| it.accuracy));
        let dash = || "–".to_owned();
        row.extend(before.map(|before| before.map_or_else(dash, percent)));
        row.push(percent(score.accuracy));
        let change = |before: f64| format!("{:+.1}", 100.0 * (score.accuracy - before));
        row.extend(before.map(|before| before.map_or_else(dash, change)));
        let failed = left_out.get(score.client.as_str()).copied().unwrap_or(0);
        row.extend(has_failures.then(|| failed.to_string()));
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference: `numpy.quantile([0.1, 0.2, 0.4, 0.9], [0, 0.25, 0.5, 0.75, 1])`.
    #[test]
    fn quantiles_are_numpys() {
        let values = [0.1, 0.2, 0.4, 0.9];
        for (share, expected) in [(0.0, 0.1), (0.25, 0.175), (0.5, 0.3), (0.75, 0.525), (1.0, 0.9)]
        {
            assert!((quantile(&values, share).unwrap() - expected).abs() < 1e-12, "{share}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }
}
