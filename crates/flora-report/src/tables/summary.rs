use flora_core::text::printable;
use flora_federation::{EvaluatedModel, RunStatus};

use super::{Column, Listing, Page, figures};
use crate::{
    Accuracy, RunSummary,
    units::{bound, bytes, count, percent_or_dash, relative, seconds},
};

/// A run on one screen: its status, accuracies in percent, bytes, time by phase, memory, and a warning if the last
/// round is not the best choice.
pub fn summary(run: &RunSummary, page: Page) -> String {
    let status = match run.status {
        RunStatus::Finished => "finished",
        RunStatus::Failed => "failed",
        RunStatus::Interrupted => "interrupted",
    };
    let status = match &run.error {
        Some(error) if run.status != RunStatus::Finished => format!("{status}: {error}"),
        _ => match (run.stopped_early, run.rounds) {
            (Some(round), Some(rounds)) => {
                format!("{status} early, after {round} of {rounds} rounds (training.patience)")
            }
            _ => status.to_owned(),
        },
    };
    let head = format!("{}: {status}", run.name);
    format!("{}\n\n{}\n\n{}\n", printable(&head), accuracies(run, page), facts(run, page))
}

fn accuracies(run: &RunSummary, page: Page) -> String {
    let accuracy = match run.model {
        EvaluatedModel::Global => "accuracy %",
        EvaluatedModel::Own | EvaluatedModel::Local => "own models, accuracy %",
    };
    let accuracy = match run.scored_on.as_str() {
        "test" => accuracy.to_owned(),
        other => format!("{accuracy}, {other} images"),
    };
    let header = [accuracy.as_str(), "mean", "weighted"];
    let in_round = |name: &str, round: Option<usize>| match round {
        Some(round) => format!("{name} (round {round})"),
        None => name.to_owned(),
    };
    let rows = [
        ("start (round 0)".to_owned(), run.accuracy.zero_shot),
        (in_round("last", run.last_round), run.accuracy.last),
        (in_round("best", run.best_round), run.accuracy.best),
    ];
    let row = |(name, accuracy): (String, Option<Accuracy>)| {
        let mean = percent_or_dash(accuracy.map(|accuracy| accuracy.mean));
        let weighted = percent_or_dash(accuracy.map(|accuracy| accuracy.weighted));
        [name, mean, weighted]
    };
    figures(header, rows.map(row).into(), page)
}

fn facts(run: &RunSummary, page: Page) -> String {
    let parameters = {
        let (trained, total) = (run.trainable_parameters, run.total_parameters);
        if total == 0 {
            count(trained)
        } else {
            let share = 100.0 * trained as f64 / total as f64;
            format!("{} of {} ({share:.3} %)", count(trained), count(total))
        }
    };
    let phases = [
        ("data", run.seconds.data),
        ("training", run.seconds.training),
        ("aggregation", run.seconds.aggregation),
        ("evaluation", run.seconds.evaluation),
        ("saving", run.seconds.saving),
    ]
    .map(|(phase, value)| format!("{phase} {}", seconds(value)))
    .join(", ");
    let memory = run.peak_memory_bytes.map_or_else(
        || "this system does not report it".to_owned(),
        |peak| format!("{} at its peak", bytes(peak)),
    );
    let rows = [
        ("trained", parameters),
        ("sent", format!("{} up, {} down", bytes(run.bytes_up), bytes(run.bytes_down))),
        ("time", format!("{} ({phases})", seconds(run.seconds.total))),
        ("memory", memory),
        ("device", format!("{}, seed {}", run.device, run.seed)),
    ];
    let aggregation = run.aggregation_error.map(|error| {
        ("aggregation", format!("error {}, the mean over the rounds", relative(error)))
    });
    let privacy = run.epsilon.map(|spent| ("privacy", format!("epsilon {} spent", bound(spent))));
    let note = run.verdict().map(|verdict| ("note", verdict));
    let rows = rows
        .into_iter()
        .chain(aggregation)
        .chain(privacy)
        .chain(note)
        .map(|(name, fact)| vec![name.to_owned(), fact]);
    Listing::new(vec![Column::Name, Column::Text], Vec::new(), rows.collect()).show(page)
}
