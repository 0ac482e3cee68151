use flora_federation::EvaluatedModel;

use super::{Grid, SweepResult, halves::Halves, rows};
use crate::{Accuracies, Accuracy, ReportError};

/// The columns after the row, its axes and its part.
const COLUMNS: [&str; 34] = [
    "seed",
    "data_seed",
    "rounds",
    "scored_on",
    "client",
    "trained",
    "client_accuracy_global_last",
    "client_accuracy_own_last",
    "client_test_examples",
    "mean_accuracy_global_zero_shot",
    "mean_accuracy_global_last",
    "weighted_accuracy_global_last",
    "best_round",
    "mean_accuracy_global_best",
    "weighted_accuracy_global_best",
    "local_round",
    "mean_accuracy_local_last",
    "weighted_accuracy_local_last",
    "base_accuracy_global_last",
    "novel_accuracy_global_last",
    "harmonic_mean_accuracy_global_last",
    "trainable_parameters",
    "bytes_up",
    "bytes_down",
    "bytes_up_per_client_and_round",
    "bytes_up_per_client",
    "aggregation_error",
    "epsilon",
    "data_seconds",
    "aggregation_seconds",
    "training_seconds",
    "training_seconds_per_round",
    "total_seconds",
    "peak_memory_bytes",
];

/// Every run as lines of CSV, with a header: one line for each tested client, which repeats the values of the run.
/// Accuracies are 0..1. There is a column `axis.NAME` for each axis. Unknown fields are empty.
///
/// # Errors
///
/// [`ReportError::Csv`] if a field cannot be written, which does not happen in memory.
pub fn csv(grid: &Grid, results: &[SweepResult]) -> Result<String, ReportError> {
    let failed = |error: csv::Error| ReportError::Csv { problem: error.to_string() };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["row".to_owned()];
    header.extend(grid.axes.iter().map(|axis| format!("axis.{}", axis.name)));
    header.push("part".to_owned());
    header.extend(COLUMNS.map(str::to_owned));
    writer.write_record(&header).map_err(failed)?;
    for result in results {
        let row = &grid.rows[result.row];
        let mut stub = vec![row.name.clone()];
        let values = grid.axes.iter().zip(&row.values);
        stub.extend(values.map(|(axis, &value)| axis.values[value].clone()));
        stub.push(result.part.to_string());
        for record in records(result) {
            writer.write_record(stub.iter().chain(&record)).map_err(failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8(bytes).expect("made of strings"))
}

/// The [`COLUMNS`] of each client.
fn records(result: &SweepResult) -> impl Iterator<Item = [String; COLUMNS.len()]> {
    let run = &result.run;
    let global = run.model == EvaluatedModel::Global;
    let accuracies = if global { run.accuracy } else { Accuracies::default() };
    let Accuracies { zero_shot, last, best } = accuracies;
    let mean = |accuracy: Option<Accuracy>| or_empty(accuracy.map(|accuracy| accuracy.mean));
    let weighted = |accuracy: Option<Accuracy>| or_empty(accuracy.map(|it| it.weighted));
    let halves = Halves::of(result);
    let of_run = [
        mean(zero_shot),
        mean(last),
        weighted(last),
        or_empty(run.best_round.filter(|_| global)),
        mean(best),
        weighted(best),
        or_empty(run.local.map(|local| local.round)),
        or_empty(run.local.map(|local| local.mean)),
        or_empty(run.local.map(|local| local.weighted)),
        or_empty(halves.map(|halves| halves.base)),
        or_empty(halves.map(|halves| halves.novel)),
        or_empty(halves.map(Halves::harmonic_mean)),
        run.trainable_parameters.to_string(),
        run.bytes_up.to_string(),
        run.bytes_down.to_string(),
        or_empty(rows::bytes(run)),
        or_empty(rows::total_bytes(run)),
        or_empty(run.aggregation_error),
        or_empty(run.epsilon),
        format!("{:.3}", run.seconds.data),
        format!("{:.3}", run.seconds.aggregation),
        format!("{:.3}", run.seconds.training),
        or_empty(rows::seconds(run).map(|seconds| format!("{seconds:.3}"))),
        format!("{:.3}", run.seconds.total),
        or_empty(run.peak_memory_bytes),
    ];
    run.clients.iter().map(move |client| {
        let mut fields = vec![
            run.seed.to_string(),
            or_empty(result.draw.or(run.data_seed)),
            run.last_round.unwrap_or(0).to_string(),
            run.scored_on.clone(),
            client.client.clone(),
            client.trained.to_string(),
            or_empty(Some(client.accuracy).filter(|_| global)),
            or_empty(Some(client.accuracy).filter(|_| !global)),
            client.num_examples.to_string(),
        ];
        fields.extend(of_run.iter().cloned());
        fields.try_into().expect("nine of the client and the others of the run")
    })
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
