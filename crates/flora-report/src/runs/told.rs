use std::{collections::BTreeMap, path::Path};

use flora_federation::{EPSILON, EvaluatedModel, Event, RunStatus};

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

impl Told {
    /// Reads the file, as far as it can be read.
    pub(crate) fn read(path: &Path) -> Self {
        let mut told = Self::default();
        let end = events::read(path, &KINDS, |event| told.hear(event));
        told.problem = end.err().map(|problem| problem.to_string());
        told
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::RunStarted { name, method, rounds, seed, .. } => {
                (self.name, self.method) = (Some(name), Some(method));
                (self.planned, self.seed) = (Some(rounds), seed);
            }
            Event::Evaluated { round, model, accuracy, accuracy_weighted, clients, .. }
                if model != EvaluatedModel::Local =>
            {
                let num_clients = clients.iter().filter(|client| client.num_examples > 0).count();
                let (mean, weighted) = (accuracy, accuracy_weighted);
                self.rounds.insert(round, Accuracy { mean, weighted, num_clients });
                self.model = Some(model);
            }
            Event::Aggregated { bytes_up, bytes_down, metrics, .. } => {
                // A damaged file may have any number.
                self.bytes_up = self.bytes_up.saturating_add(bytes_up);
                self.bytes_down = self.bytes_down.saturating_add(bytes_down);
                self.epsilon = spent(self.epsilon, metrics.get(EPSILON).copied());
            }
            Event::RunFinished { status, message, seconds, .. } => {
                (self.seconds, self.end) = (Some(seconds), Some((status, message)));
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
