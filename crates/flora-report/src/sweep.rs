//! The table of a sweep: rows of runs with several seeds.

use std::fmt::Write;

use crate::units::{bytes, percent};
use crate::{ReportError, RunSummary};

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepResult {
    /// The row, from 0.
    pub row: usize,
    /// Which of the runs that the row is the mean of, from 0.
    pub part: usize,
    /// The run.
    pub run: RunSummary,
}

/// Mean and sample standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation, with `n - 1`; `None` for a single seed.
    pub deviation: Option<f64>,
}

/// A row of a sweep's table. Accuracies are those of the global model after the last round, 0..1.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// What it is called.
    pub name: String,
    /// Unweighted mean over all clients.
    pub accuracy: Spread,
    /// Mean over the clients that trained, where some of those that are tested did.
    pub trained: Option<Spread>,
    /// Mean over the others, under the same condition.
    pub others: Option<Spread>,
    /// The worst client.
    pub worst: Spread,
    /// Bytes that a client sends in a round; `None` where one client trains alone or nobody does.
    pub bytes: Option<u64>,
    /// Seconds of training in a round, of all clients.
    pub seconds: Option<Spread>,
    /// Runs that it is made of.
    pub runs: usize,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }
}

/// The rows that have results, in the order of `names`. Within a seed the runs of a row are averaged
/// first; the spread is over seeds.
pub fn rows(names: &[String], results: &[SweepResult]) -> Vec<SweepRow> {
    let row = |(index, name): (usize, &String)| {
        let runs: Vec<_> = results.iter().filter(|result| result.row == index).collect();
        let seeds: std::collections::BTreeSet<u64> = runs.iter().map(|it| it.run.seed).collect();
        let over_seeds = |value: &dyn Fn(&RunSummary) -> Option<f64>| {
            let of_seed = |seed: &u64| {
                let of_seed = runs.iter().filter(|result| result.run.seed == *seed);
                let values: Vec<f64> = of_seed.filter_map(|result| value(&result.run)).collect();
                Some(Spread::of(&values)?.mean)
            };
            Spread::of(&seeds.iter().filter_map(of_seed).collect::<Vec<_>>())
        };
        let rounds = |run: &RunSummary| run.last_round.filter(|&rounds| rounds > 0);
        Some(SweepRow {
            name: name.clone(),
            accuracy: over_seeds(&|run| Some(run.accuracy.last?.mean))?,
            trained: over_seeds(&|run| mean(run, true)),
            others: over_seeds(&|run| mean(run, false)),
            worst: over_seeds(&|run| run.clients.iter().map(|it| it.accuracy).reduce(f64::min))?,
            bytes: runs
                .iter()
                .find(|result| result.run.trainers > 1 && result.run.replies > 0)
                .map(|result| result.run.bytes_up / result.run.replies),
            seconds: over_seeds(&|run| Some(run.seconds.training / rounds(run)? as f64)),
            runs: runs.len(),
        })
    };
    names.iter().enumerate().filter_map(row).collect()
}

/// Mean accuracy over the clients that trained, or over the others; `None` where no tested client trained:
/// before any training, and where all images lie in one place.
fn mean(run: &RunSummary, trained: bool) -> Option<f64> {
    if !run.clients.iter().any(|client| client.trained) {
        return None;
    }
    let clients = run.clients.iter().filter(|client| client.trained == trained);
    let accuracies: Vec<f64> = clients.map(|client| client.accuracy).collect();
    Spread::of(&accuracies).map(|spread| spread.mean)
}

/// The rows as a Markdown table.
pub fn markdown(rows: &[SweepRow]) -> String {
    let share = |spread: Option<Spread>| match spread {
        None => "–".to_owned(),
        Some(Spread { mean, deviation: None }) => percent(mean),
        Some(Spread { mean, deviation: Some(deviation) }) => {
            format!("{} ± {}", percent(mean), percent(deviation))
        }
    };
    let mut text = String::from(
        "| | mean over clients, % | own clients, % | other clients, % | worst client, % | sent by a \
         client in a round | training, s a round | runs |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let sent = row.bytes.map_or_else(|| "–".to_owned(), bytes);
        let seconds = row.seconds.map_or_else(|| "–".to_owned(), |it| format!("{:.2}", it.mean));
        let accuracy = share(Some(row.accuracy));
        let (trained, others) = (share(row.trained), share(row.others));
        let worst = share(Some(row.worst));
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {accuracy} | {trained} | {others} | {worst} | {sent} | {seconds} | {} |",
            row.name.replace('|', "\\|"),
            row.runs
        );
    }
    text
}

/// Every run as a line of CSV, with a header; accuracies 0..1, one line for each client tested.
///
/// # Errors
///
/// [`ReportError::Csv`] if a field cannot be written, which does not happen in memory.
pub fn csv(names: &[String], results: &[SweepResult]) -> Result<String, ReportError> {
    let failed = |error: csv::Error| ReportError::Csv { problem: error.to_string() };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record([
            "row",
            "part",
            "seed",
            "rounds",
            "client",
            "trained",
            "accuracy",
            "test_examples",
            "bytes_up",
            "training_seconds",
            "peak_memory_bytes",
        ])
        .map_err(failed)?;
    for SweepResult { row, part, run } in results {
        for client in &run.clients {
            let memory = run.peak_memory_bytes.map_or_else(String::new, |peak| peak.to_string());
            writer
                .write_record([
                    names[*row].as_str(),
                    &part.to_string(),
                    &run.seed.to_string(),
                    &run.last_round.unwrap_or(0).to_string(),
                    &client.client,
                    &client.trained.to_string(),
                    &client.accuracy.to_string(),
                    &client.num_examples.to_string(),
                    &run.bytes_up.to_string(),
                    &format!("{:.3}", run.seconds.training),
                    &memory,
                ])
                .map_err(failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8(bytes).expect("made of strings"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accuracies, Accuracy, ClientAccuracy};
    use flora_federation::RunStatus;

    fn result(row: usize, part: usize, seed: u64, clients: &[(f64, bool)]) -> SweepResult {
        let mut run = RunSummary::new("x", RunStatus::Finished, None);
        let mean = clients.iter().map(|(accuracy, _)| accuracy).sum::<f64>() / clients.len() as f64;
        let last = Accuracy { mean, weighted: mean, num_clients: clients.len() };
        run.accuracy = Accuracies { last: Some(last), ..Default::default() };
        run.clients = clients
            .iter()
            .enumerate()
            .map(|(index, &(accuracy, trained))| ClientAccuracy {
                client: format!("c{index}"),
                accuracy,
                num_examples: 10,
                trained,
            })
            .collect();
        run.trainers = clients.iter().filter(|(_, trained)| *trained).count();
        (run.seed, run.last_round) = (seed, Some(2));
        (run.replies, run.bytes_up) = (run.trainers as u64, 2048 * run.trainers as u64);
        run.seconds.training = 3.0;
        SweepResult { row, part, run }
    }

    fn close(spread: Option<Spread>, mean: f64, deviation: Option<f64>) {
        let spread = spread.unwrap();
        assert!((spread.mean - mean).abs() < 1e-12, "{spread:?}");
        match (spread.deviation, deviation) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{spread:?}"),
            (a, b) => assert_eq!(a, b),
        }
    }

    #[test]
    fn parts_are_averaged_before_seeds_are_spread() {
        let names = ["together", "alone", "never run", "central"].map(str::to_owned);
        let results = [
            result(0, 0, 1, &[(0.4, true), (0.6, true)]),
            result(0, 0, 2, &[(0.6, true), (0.8, true)]),
            result(1, 0, 1, &[(0.5, true), (0.1, false)]),
            result(1, 1, 1, &[(0.3, false), (0.7, true)]),
            result(3, 0, 1, &[(0.5, false), (0.7, false)]),
        ];
        let rows = rows(&names, &results);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[2].trained, rows[2].others), (None, None));
        close(Some(rows[0].accuracy), 0.6, Some(0.02f64.sqrt()));
        close(rows[0].trained, 0.6, Some(0.02f64.sqrt()));
        assert_eq!((rows[0].others, rows[0].bytes, rows[0].runs), (None, Some(2048), 2));
        close(Some(rows[1].accuracy), 0.4, None);
        close(rows[1].trained, 0.6, None);
        close(rows[1].others, 0.2, None);
        close(Some(rows[1].worst), 0.2, None);
        close(rows[1].seconds, 1.5, None);
        assert_eq!(rows[1].bytes, None, "one client trains alone");

        let table = markdown(&rows);
        assert!(table.contains("| together | 60.0 ± 14.1 | 60.0 ± 14.1 | – |"), "{table}");
        assert!(table.contains("| alone | 40.0 | 60.0 | 20.0 | 20.0 | – | 1.50 | 2 |"), "{table}");
        let csv = csv(&names, &results).unwrap();
        assert_eq!(csv.lines().count(), 1 + 5 * 2);
        assert!(csv.contains("alone,1,1,2,c1,true,0.7,10"), "{csv}");
    }
}
