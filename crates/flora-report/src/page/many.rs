//! The page of several runs, overlaid.

use maud::html;

use super::{
    charts::{Bars, Line, Lines, Quantity},
    data::{Evaluation, Round, Run, Shares},
    html::{Page, Section, Table, Tone, callout},
    one,
};
use crate::{
    ReportError, compare,
    units::{self, bytes, percent, percent_or_dash, seconds},
};

/// A report on several runs.
///
/// # Errors
/// As [`compare`](crate::compare()).
pub(super) fn page(runs: &[Run]) -> Result<Page, ReportError> {
    let sections = [
        Some(overview(runs)?),
        progress(runs),
        costs(runs),
        failures(runs),
        data(runs),
        Some(each(runs)),
    ];
    let labels: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    Ok(Page {
        title: labels.join(" · "),
        kind: "Runs",
        subtitle: format!("{} runs side by side", runs.len()),
        state: None,
        sections: sections.into_iter().flatten().collect(),
    })
}

fn overview(runs: &[Run]) -> Result<Section, ReportError> {
    let paths: Vec<_> = runs.iter().map(|run| run.path.clone()).collect();
    let settings = compare(&paths)?.settings;
    let head = std::iter::once("setting".to_owned()).chain(runs.iter().map(|it| it.label.clone()));
    let mut differences = Table::new("Settings that differ", head).text();
    for setting in settings {
        let value =
            |value: Option<toml::Value>| value.map_or_else(|| "–".into(), |it| it.to_string());
        differences.row(std::iter::once(setting.key).chain(setting.values.into_iter().map(value)));
    }
    let best = runs.iter().filter_map(|run| Some((run, run.record.accuracy.last?)));
    let best = best.reduce(|a, b| if b.1.mean > a.1.mean { b } else { a });
    let content = html! {
        @if let Some((run, accuracy)) = best {
            p id="headline" class="headline" {
                (flora_core::text::printable(&format!(
                    "{} has the highest accuracy after its last round: {} %.",
                    run.label,
                    percent(accuracy.mean)
                )))
            }
        }
        @for run in runs {
            @for problem in &run.problems { (callout(Tone::Error, &format!("{}: {problem}", run.label))) }
            @if let Some(error) = &run.record.error {
                (callout(Tone::Error, &format!("{}: {error}", run.label)))
            }
        }
        (results(runs).html())
        @if differences.rows.is_empty() {
            p { "The runs have the same settings." }
        } @else { (differences.html()) }
    };
    Ok(Section::new("overview", "Overview", content))
}

fn results(runs: &[Run]) -> Table {
    let head = [
        "run",
        "state",
        "rounds",
        "before training, %",
        "last round, %",
        "best round, %",
        "worst client, %",
        "up",
        "down",
        "time",
    ];
    let mut table = Table::new("Results", head);
    for run in runs {
        let record = &run.record;
        let mean = |it: Option<crate::Accuracy>| percent_or_dash(it.map(|it| it.mean));
        let rounds = match (record.last_round, record.rounds) {
            (Some(last), Some(planned)) => format!("{last} of {planned}"),
            (Some(last), None) => last.to_string(),
            _ => "–".to_owned(),
        };
        let best = match (record.accuracy.best, record.best_round) {
            (Some(best), Some(round)) => format!("{} (round {round})", percent(best.mean)),
            _ => "–".to_owned(),
        };
        let worst = run.history.last().and_then(Evaluation::worst).map(|it| it.accuracy);
        table.row([
            run.label.clone(),
            one::state(run).0,
            rounds,
            mean(record.accuracy.zero_shot),
            mean(record.accuracy.last),
            best,
            percent_or_dash(worst),
            bytes(record.bytes_up),
            bytes(record.bytes_down),
            record.seconds.map_or_else(|| "–".to_owned(), seconds),
        ]);
    }
    if runs.iter().any(Run::is_own) && !runs.iter().all(Run::is_own) {
        table.notes.push(
            "Where a run has no global model, its accuracies are those of the clients' own models."
                .to_owned(),
        );
    }
    table
}

/// A line for each run.
fn lines(runs: &[Run], points: impl Fn(&Run) -> Vec<(usize, f64)>) -> Vec<Line> {
    runs.iter().map(|run| Line::new(&run.label, points(run))).collect()
}

/// A line for each run, of what is known of a model.
fn tested(runs: &[Run], value: fn(&Evaluation) -> Option<f64>) -> Vec<Line> {
    lines(runs, |run| {
        run.history.evaluated.iter().filter_map(|it| Some((it.round, value(it)?))).collect()
    })
}

/// A line for each run, of what is known of a round.
fn trained(runs: &[Run], value: fn(&Round) -> Option<f64>) -> Vec<Line> {
    lines(runs, |run| {
        run.history.trained().filter_map(|(round, it)| Some((round, value(it)?))).collect()
    })
}

/// The accuracy before training, where it is that of all runs.
fn common_start(runs: &[Run]) -> Option<f64> {
    let mut starts = runs.iter().map(|run| Some(run.history.start()?.accuracy));
    let first = starts.next()??;
    starts.all(|start| start == Some(first)).then_some(first)
}

fn progress(runs: &[Run]) -> Option<Section> {
    let accuracy = Lines {
        id: "accuracy",
        title: "Accuracy by round".to_owned(),
        says: "Unweighted mean over the clients.".to_owned(),
        y: "accuracy, %",
        lines: tested(runs, |it| Some(100.0 * it.accuracy)),
        level: common_start(runs).map(|it| (one::START.to_owned(), 100.0 * it)),
        format: one::hundredths,
    };
    let worst = Lines {
        id: "worst",
        title: "Accuracy of the worst client by round".to_owned(),
        says: "The client with the lowest accuracy, which may differ from round to round."
            .to_owned(),
        lines: tested(runs, |it| Some(100.0 * it.worst()?.accuracy)),
        level: None,
        ..accuracy.like()
    };
    let loss = Lines {
        id: "loss",
        title: "Loss by round".to_owned(),
        says: "On the same images as the accuracies.".to_owned(),
        y: "loss",
        lines: tested(runs, |it| it.loss),
        level: None,
        format: units::figure,
    };
    let shown = [
        accuracy.chart(),
        worst.chart(),
        loss.chart(),
        aggregation(runs).chart(),
        privacy(runs).chart(),
    ];
    Section::of_charts("progress", "Round by round", shown)
}

/// Parts of what each run takes.
fn bars(
    runs: &[Run],
    id: &'static str,
    title: &str,
    y: Quantity,
    parts: Vec<(String, Vec<f64>)>,
) -> Bars {
    Bars {
        id,
        title: title.to_owned(),
        says: String::new(),
        x: "run",
        y,
        bars: runs.iter().map(|run| run.label.clone()).collect(),
        parts,
    }
}

fn costs(runs: &[Run]) -> Option<Section> {
    let of = |value: fn(&Run) -> f64| runs.iter().map(value).collect();
    let parts = vec![
        ("from clients".to_owned(), of(|run| run.record.bytes_up as f64)),
        ("to clients".to_owned(), of(|run| run.record.bytes_down as f64)),
    ];
    let sent = bars(runs, "bytes", "Bytes by run", Quantity::Bytes, parts);
    let references: Vec<&Run> = runs.iter().collect();
    let shown = [sent.chart(), one::phases(&references, "seconds")];
    Section::of_charts("costs", "Bytes and seconds", shown)
}

fn failures(runs: &[Run]) -> Option<Section> {
    let parts = one::REASONS.map(|(reason, word)| {
        let count =
            |run: &Run| run.history.failures.iter().filter(|it| it.reason == reason).count();
        (word.to_owned(), runs.iter().map(|run| count(run) as f64).collect())
    });
    let title = "Replies left out, by run and reason";
    let chart = bars(runs, "failures", title, Quantity::Count("replies"), parts.to_vec());
    Section::of_charts("failures-and-exclusions", "Failures and exclusions", [chart.chart()])
}

fn aggregation(runs: &[Run]) -> Lines {
    Lines {
        id: "aggregation-error",
        title: "Aggregation error by round".to_owned(),
        says: "How far the product of the averaged LoRA factors is from the average of the clients' products, \
               relative to it."
            .to_owned(),
        y: "error, %",
        lines: trained(runs, |it| Some(100.0 * it.aggregation_error?)),
        level: None,
        format: units::figure,
    }
}

fn privacy(runs: &[Run]) -> Lines {
    Lines {
        id: "epsilon",
        title: "Privacy spent by round".to_owned(),
        says: "A smaller epsilon is stronger privacy.".to_owned(),
        y: "epsilon",
        lines: trained(runs, |it| it.epsilon),
        level: None,
        format: units::figure,
    }
}

/// The partition of the runs, if it is that of all of them.
fn data(runs: &[Run]) -> Option<Section> {
    let mut all = runs.iter().map(|run| run.shares.as_ref());
    let first = all.next()??;
    let is_common = all.all(|other: Option<&Shares>| other == Some(first));
    if !is_common {
        let text = "The runs have different partitions: the report of each run shows its own.";
        return Some(Section::new("data", "Data", html! { p { (text) } }));
    }
    Section::of_charts("data", "Data", [one::partition(first, "partition")])
}

/// What belongs to one run alone.
fn each(runs: &[Run]) -> Section {
    let content = html! {
        @for (at, run) in runs.iter().enumerate() {
            details class="data" id={ "run-" (at) } {
                summary { (flora_core::text::printable(&run.label)) }
                p { "Repeat it:" }
                (one::repeat(run))
                (one::settings(run).html())
            }
        }
    };
    Section::new("configuration", "Configuration", content)
}
