use std::collections::BTreeSet;

use super::{Difference, Grid, Spread, SweepResult, halves::Halves};
use crate::RunSummary;
use flora_federation::EvaluatedModel;

/// A row of a sweep's tables. Accuracies are those of the global model after the last round unless they
/// say otherwise, 0..1.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// The number of the row in the sweep, from 0.
    pub row: usize,
    /// Unweighted mean over all clients; `None` if there is no global model.
    pub accuracy: Option<Spread>,
    /// Mean over all clients weighted by test examples.
    pub weighted: Option<Spread>,
    /// The worst client.
    pub worst: Option<Spread>,
    /// Mean over the clients that trained, if only some of the tested clients did.
    pub trained: Option<Spread>,
    /// Mean over the others, under the same condition.
    pub others: Option<Spread>,
    /// Unweighted mean over all clients in the best round of each run, which is chosen on the test examples themselves,
    /// so it is optimistic.
    pub best: Option<Spread>,
    /// Unweighted mean over the clients' own models, each on its own test examples, after their last
    /// training.
    pub local: Option<Spread>,
    /// The same if there is no global model; it then takes the place of the global model's accuracy.
    pub own: Option<Spread>,
    /// The global model on the classes that clients train on, if classes are split into base and novel ones.
    pub base: Option<Spread>,
    /// The same on the novel classes.
    pub novel: Option<Spread>,
    /// The harmonic mean of both, computed for each run.
    pub harmonic_mean: Option<Spread>,
    /// The images of the accuracies, `test` or `validation`; `None` if the runs differ.
    pub scored_on: Option<String>,
    /// The difference from its baseline's accuracy.
    pub difference: Option<Difference>,
    /// Whether there is no such difference because its runs and those of its baseline were scored on different images.
    pub on_other_images: bool,
    /// Number of parameters that are trained and sent; `None` if no client trains.
    pub trainable_parameters: Option<usize>,
    /// Bytes that a client sends in a round; `None` if one client trains alone or none does.
    pub bytes: Option<u64>,
    /// Bytes that a client sends in all rounds: the mean over the clients that train.
    pub total_bytes: Option<Spread>,
    /// Bytes that a client receives in all rounds of training, under the same condition.
    pub bytes_down: Option<Spread>,
    /// The relative distance between the product of averaged LoRA factors and the average of the clients' products.
    pub aggregation_error: Option<Spread>,
    /// The largest privacy budget that a run spent.
    pub epsilon: Option<f64>,
    /// Seconds of training in a round, of all clients.
    pub seconds: Option<Spread>,
    /// Seconds of training and aggregation in all rounds; `None` if no client trains.
    pub total_seconds: Option<Spread>,
    /// Seconds of loading model and data and of encoding the images.
    pub data_seconds: Option<Spread>,
    /// The largest peak memory of a run, in bytes.
    pub memory: Option<Spread>,
    /// The costs of this row divided by those of its baseline.
    pub relative: Relative,
    /// The smallest and the largest last round of its runs.
    pub rounds: Option<(usize, usize)>,
    /// Number of draws that it averages; 0 if the sweep sets no draws.
    pub draws: usize,
    /// Number of seeds that it averages, each counted once for every draw.
    pub seeds: usize,
    /// Number of its runs.
    pub runs: usize,
}

/// Ratios of means to those of the baseline, if both are known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Relative {
    /// Of the bytes that a client sends in a round.
    pub bytes: Option<f64>,
    /// Of the bytes that a client sends in all rounds.
    pub total_bytes: Option<f64>,
    /// Of the seconds of training in a round.
    pub seconds: Option<f64>,
    /// Of the seconds of training and aggregation in all rounds.
    pub total_seconds: Option<f64>,
    /// Of the peak memory.
    pub memory: Option<f64>,
}

/// The rows that have results, in the order of the grid. Within a seed and draw the runs of a row are averaged
/// first; the spread is over all seeds of all draws.
pub fn rows(grid: &Grid, results: &[SweepResult]) -> Vec<SweepRow> {
    let mut rows: Vec<SweepRow> =
        (0..grid.rows.len()).filter_map(|index| row(index, results)).collect();
    for place in 0..rows.len() {
        let own = rows[place].row;
        let Some(baseline) = grid.rows[own].baseline else { continue };
        let Some(other) = rows.iter().find(|other| other.row == baseline) else { continue };
        let relative = rows[place].relative_to(other);
        rows[place].relative = relative;
        if own != baseline {
            let (ours, theirs) = (runs(own, results), runs(baseline, results));
            let images = scored_on(&ours).filter(|&images| scored_on(&theirs) == Some(images));
            rows[place].on_other_images = images.is_none();
            rows[place].difference = Difference::between(&ours, &theirs, grid.compared);
        }
    }
    rows
}

fn runs(row: usize, results: &[SweepResult]) -> Vec<&SweepResult> {
    results.iter().filter(|result| result.row == row).collect()
}

/// The images that all of the runs were scored on.
pub(super) fn scored_on<'a>(runs: &[&'a SweepResult]) -> Option<&'a str> {
    let first = runs.first()?.run.scored_on.as_str();
    runs.iter().all(|result| result.run.scored_on == first).then_some(first)
}

fn row(index: usize, results: &[SweepResult]) -> Option<SweepRow> {
    let runs = runs(index, results);
    let draws: BTreeSet<u64> = runs.iter().filter_map(|it| it.draw).collect();
    let seeds: BTreeSet<_> = runs.iter().map(|it| (it.draw, it.run.seed)).collect();
    let over_results = |value: &dyn Fn(&SweepResult) -> Option<f64>| {
        let of_seed = |seed: &(Option<u64>, u64)| {
            let of_seed = runs.iter().filter(|it| (it.draw, it.run.seed) == *seed);
            let values: Vec<f64> = of_seed.filter_map(|result| value(result)).collect();
            Some(Spread::of(&values)?.mean)
        };
        Spread::of(&seeds.iter().filter_map(of_seed).collect::<Vec<_>>())
    };
    let over_seeds =
        |value: &dyn Fn(&RunSummary) -> Option<f64>| over_results(&|result| value(&result.run));
    let halves = |value: fn(Halves) -> f64| over_results(&|it| Halves::of(it).map(value));
    let rounds: Option<Vec<usize>> = runs.iter().map(|result| result.run.last_round).collect();
    let rounds = rounds.and_then(|it| Some((*it.iter().min()?, *it.iter().max()?)));
    runs.first()?;
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
        local: over_seeds(&|run| own(run).or_else(|| Some(run.local?.mean))),
        own: over_seeds(&own),
        base: halves(|halves| halves.base),
        novel: halves(|halves| halves.novel),
        harmonic_mean: halves(Halves::harmonic_mean),
        scored_on: scored_on(&runs).map(str::to_owned),
        difference: None,
        on_other_images: false,
        trainable_parameters: runs
            .iter()
            .find(|result| result.run.replies > 0)
            .map(|result| result.run.trainable_parameters),
        bytes: runs.iter().find_map(|result| bytes(&result.run)),
        total_bytes: over_seeds(&|run| Some(total_bytes(run)? as f64)),
        bytes_down: over_seeds(&|run| {
            shares(run).then(|| run.bytes_down as f64 / run.trainers as f64)
        }),
        aggregation_error: over_seeds(&|run| run.aggregation_error),
        epsilon: runs.iter().filter_map(|result| result.run.epsilon).reduce(f64::max),
        seconds: over_seeds(&seconds),
        total_seconds: over_seeds(&|run| {
            let seconds = run.seconds.training + run.seconds.aggregation;
            Some(seconds).filter(|_| run.replies > 0)
        }),
        data_seconds: over_seeds(&|run| Some(run.seconds.data)),
        memory: over_seeds(&|run| run.peak_memory_bytes.map(|peak| peak as f64)),
        relative: Relative::default(),
        rounds,
        draws: draws.len(),
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
            total_bytes: ratio(mean(self.total_bytes), mean(baseline.total_bytes)),
            seconds: ratio(mean(self.seconds), mean(baseline.seconds)),
            total_seconds: ratio(mean(self.total_seconds), mean(baseline.total_seconds)),
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
    shares(run).then(|| run.bytes_up / run.replies)
}

/// Bytes that a client sends in all rounds, where several do: the mean over those that train.
pub(super) fn total_bytes(run: &RunSummary) -> Option<u64> {
    shares(run).then(|| run.bytes_up / run.trainers as u64)
}

fn shares(run: &RunSummary) -> bool {
    run.trainers > 1 && run.replies > 0 && run.bytes_up > 0
}

/// Seconds of training in a round.
pub(super) fn seconds(run: &RunSummary) -> Option<f64> {
    let rounds = run.last_round.filter(|&rounds| rounds > 0)?;
    Some(run.seconds.training / rounds as f64)
}

/// Mean accuracy over the clients that trained, or over the others; `None` where no tested client trained:
/// before any training, and where all images lie in one place.
pub(super) fn mean(run: &RunSummary, trained: bool) -> Option<f64> {
    if !run.clients.iter().any(|client| client.trained) {
        return None;
    }
    let clients = run.clients.iter().filter(|client| client.trained == trained);
    let accuracies: Vec<f64> = clients.map(|client| client.accuracy).collect();
    Spread::of(&accuracies).map(|spread| spread.mean)
}
