use std::collections::BTreeSet;

use super::{Grid, Spread, SweepResult};
use crate::RunSummary;
use flora_federation::EvaluatedModel;

/// A row of a sweep's tables. Accuracies are those of the global model after the last round unless they
/// say otherwise, 0..1.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// Which row of the sweep, from 0.
    pub row: usize,
    /// Unweighted mean over all clients; `None` where there is no global model.
    pub accuracy: Option<Spread>,
    /// Mean over all clients weighted by test examples.
    pub weighted: Option<Spread>,
    /// The worst client.
    pub worst: Option<Spread>,
    /// Mean over the clients that trained, where some of those that are tested did.
    pub trained: Option<Spread>,
    /// Mean over the others, under the same condition.
    pub others: Option<Spread>,
    /// Unweighted mean over all clients in the best round of each run, which is chosen on the test
    /// examples themselves: an optimistic figure.
    pub best: Option<Spread>,
    /// Unweighted mean over the clients' own models, each on its own test examples, after their last
    /// training.
    pub local: Option<Spread>,
    /// The same, where there is no global model: what then stands in its place.
    pub own: Option<Spread>,
    /// Numbers that are trained and sent; `None` where nobody trains.
    pub trainable_parameters: Option<usize>,
    /// Bytes that a client sends in a round; `None` where one client trains alone or nobody does.
    pub bytes: Option<u64>,
    /// Seconds of training in a round, of all clients.
    pub seconds: Option<Spread>,
    /// The most memory that a run held at once, in bytes.
    pub memory: Option<Spread>,
    /// What this row takes by what its baseline takes.
    pub relative: Relative,
    /// The last round, if it is that of all runs.
    pub rounds: Option<usize>,
    /// Seeds that it is the mean of, each counted once for every draw.
    pub seeds: usize,
    /// Runs that it is made of.
    pub runs: usize,
}

/// Ratios of means to those of the baseline, where both are known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Relative {
    /// Of the bytes that a client sends in a round.
    pub bytes: Option<f64>,
    /// Of the seconds of training in a round.
    pub seconds: Option<f64>,
    /// Of the peak memory.
    pub memory: Option<f64>,
}

/// The rows that have results, in the order of the grid. Within a seed and draw the runs of a row are averaged
/// first; the spread is over all seeds of all draws.
pub fn rows(grid: &Grid, results: &[SweepResult]) -> Vec<SweepRow> {
    let mut rows: Vec<SweepRow> =
        (0..grid.rows.len()).filter_map(|index| row(index, results)).collect();
    let relative: Vec<Relative> = rows
        .iter()
        .map(|row| {
            let baseline = grid.rows[row.row].baseline;
            let baseline = rows.iter().find(|other| Some(other.row) == baseline);
            baseline.map_or_else(Relative::default, |baseline| row.relative_to(baseline))
        })
        .collect();
    for (row, relative) in rows.iter_mut().zip(relative) {
        row.relative = relative;
    }
    rows
}

fn row(index: usize, results: &[SweepResult]) -> Option<SweepRow> {
    let runs: Vec<_> = results.iter().filter(|result| result.row == index).collect();
    let seeds: BTreeSet<_> = runs.iter().map(|it| (it.draw, it.run.seed)).collect();
    let over_seeds = |value: &dyn Fn(&RunSummary) -> Option<f64>| {
        let of_seed = |seed: &(Option<u64>, u64)| {
            let of_seed = runs.iter().filter(|it| (it.draw, it.run.seed) == *seed);
            let values: Vec<f64> = of_seed.filter_map(|result| value(&result.run)).collect();
            Some(Spread::of(&values)?.mean)
        };
        Spread::of(&seeds.iter().filter_map(of_seed).collect::<Vec<_>>())
    };
    let first = runs.first()?.run.last_round;
    let global = |value: &dyn Fn(&RunSummary) -> Option<f64>| {
        over_seeds(&|run| {
            Some(run).filter(|run| run.model == EvaluatedModel::Global).and_then(value)
        })
    };
    Some(SweepRow {
        row: index,
        accuracy: global(&|run| Some(run.accuracy.last?.mean)),
        weighted: global(&|run| Some(run.accuracy.last?.weighted)),
        worst: global(&|run| run.clients.iter().map(|it| it.accuracy).reduce(f64::min)),
        trained: global(&|run| mean(run, true)),
        others: global(&|run| mean(run, false)),
        best: global(&|run| Some(run.accuracy.best?.mean)),
        local: over_seeds(&|run| own(run).or(Some(run.local?.mean))),
        own: over_seeds(&own),
        trainable_parameters: runs
            .iter()
            .find(|result| result.run.replies > 0)
            .map(|result| result.run.trainable_parameters),
        bytes: runs.iter().find_map(|result| bytes(&result.run)),
        seconds: over_seeds(&seconds),
        memory: over_seeds(&|run| run.peak_memory_bytes.map(|peak| peak as f64)),
        relative: Relative::default(),
        rounds: first.filter(|_| runs.iter().all(|result| result.run.last_round == first)),
        seeds: seeds.len(),
        runs: runs.len(),
    })
}

impl SweepRow {
    fn relative_to(&self, baseline: &Self) -> Relative {
        let ratio = |own: Option<f64>, base: Option<f64>| {
            let (own, base) = (own?, base.filter(|&base| base > 0.0)?);
            Some(own / base)
        };
        let mean = |spread: Option<Spread>| spread.map(|spread| spread.mean);
        let bytes = |row: &Self| row.bytes.map(|bytes| bytes as f64);
        Relative {
            bytes: ratio(bytes(self), bytes(baseline)),
            seconds: ratio(mean(self.seconds), mean(baseline.seconds)),
            memory: ratio(mean(self.memory), mean(baseline.memory)),
        }
    }
}

/// The mean accuracy of the clients' own models, where there is no global one.
fn own(run: &RunSummary) -> Option<f64> {
    let last = run.accuracy.last.filter(|_| run.model == EvaluatedModel::Own)?;
    Some(last.mean)
}

/// Bytes that a client sends in a round, where several do.
pub(super) fn bytes(run: &RunSummary) -> Option<u64> {
    (run.trainers > 1 && run.replies > 0 && run.model == EvaluatedModel::Global)
        .then(|| run.bytes_up / run.replies)
}

/// Seconds of training in a round.
pub(super) fn seconds(run: &RunSummary) -> Option<f64> {
    let rounds = run.last_round.filter(|&rounds| rounds > 0)?;
    Some(run.seconds.training / rounds as f64)
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
