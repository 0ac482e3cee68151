use std::{collections::BTreeMap, path::Path};

use flora_federation::{EvaluatedModel, RunStatus};
use serde::Deserialize;

use super::events;
use crate::{Accuracies, Accuracy, tally::spent};

/// The short version of a `metrics.jsonl`, as far as it can be read.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) name: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) planned: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) model: Option<EvaluatedModel>,
    /// The global model by round or, if there is none, the clients' own models.
    pub(crate) rounds: BTreeMap<usize, Accuracy>,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    /// The privacy spent so far.
    pub(crate) epsilon: Option<f64>,
    pub(crate) seconds: Option<f64>,
    /// The final status and its reason.
    pub(crate) end: Option<(RunStatus, Option<String>)>,
    /// The reason why the rest is missing.
    pub(crate) problem: Option<String>,
}

/// The kinds that are read. In a run with many clients, most lines are of other kinds.
const KINDS: [&str; 4] = ["run_started", "evaluated", "aggregated", "run_finished"];

/// The keys of these that matter here. Files of other versions may lack some.
#[derive(Deserialize)]
struct Line {
    event: String,
    name: Option<String>,
    method: Option<String>,
    rounds: Option<usize>,
    round: Option<usize>,
    model: Option<EvaluatedModel>,
    accuracy: Option<f64>,
    accuracy_weighted: Option<f64>,
    #[serde(default)]
    clients: Vec<Tested>,
    bytes_up: Option<u64>,
    bytes_down: Option<u64>,
    #[serde(default)]
    metrics: Spent,
    seed: Option<u64>,
    seconds: Option<f64>,
    status: Option<RunStatus>,
    message: Option<String>,
}

/// What [`EPSILON`](flora_federation::EPSILON) names of a round's metrics; others may be `null`.
#[derive(Default, Deserialize)]
struct Spent {
    epsilon: Option<f64>,
}

#[derive(Deserialize)]
struct Tested {
    num_examples: usize,
}

impl Told {
    /// Reads the file, as far as it can be read.
    pub(crate) fn read(path: &Path) -> Self {
        let mut told = Self::default();
        let end = events::read(path, &KINDS, |line| told.hear(line));
        told.problem = end.err().map(|problem| problem.to_string());
        told
    }

    fn hear(&mut self, line: Line) {
        match line.event.as_str() {
            "run_started" => {
                (self.name, self.method, self.planned) = (line.name, line.method, line.rounds);
                self.seed = line.seed.unwrap_or_default();
            }
            "evaluated" if line.model != Some(EvaluatedModel::Local) => {
                if let (Some(round), Some(mean)) = (line.round, line.accuracy) {
                    let num_clients =
                        line.clients.iter().filter(|client| client.num_examples > 0).count();
                    let weighted = line.accuracy_weighted.unwrap_or(mean);
                    self.rounds.insert(round, Accuracy { mean, weighted, num_clients });
                    self.model = line.model;
                }
            }
            "aggregated" => {
                // A damaged file may have any number.
                self.bytes_up = self.bytes_up.saturating_add(line.bytes_up.unwrap_or(0));
                self.bytes_down = self.bytes_down.saturating_add(line.bytes_down.unwrap_or(0));
                self.epsilon = spent(self.epsilon, line.metrics.epsilon);
            }
            "run_finished" => {
                self.seconds = line.seconds;
                self.end = line.status.map(|status| (status, line.message));
            }
            _ => {}
        }
    }

    /// The best round, by the rule of the round loop: a mean over more clients beats any mean over fewer, and on a tie
    /// the earliest round wins.
    pub(crate) fn best(&self) -> Option<(usize, Accuracy)> {
        let rounds = self.rounds.iter().map(|(&round, &accuracy)| (round, accuracy));
        rounds.reduce(|best, other| {
            let key = |(_, accuracy): (usize, Accuracy)| (accuracy.num_clients, accuracy.mean);
            if key(other) > key(best) { other } else { best }
        })
    }

    pub(crate) fn last(&self) -> Option<(usize, Accuracy)> {
        self.rounds.last_key_value().map(|(&round, &accuracy)| (round, accuracy))
    }

    pub(crate) fn accuracies(&self) -> Accuracies {
        Accuracies {
            zero_shot: self.rounds.get(&0).copied(),
            last: self.last().map(|(_, accuracy)| accuracy),
            best: self.best().map(|(_, accuracy)| accuracy),
        }
    }
}
