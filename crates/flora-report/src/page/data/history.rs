//! The events of a run, in the form that its charts need.

use std::{collections::BTreeMap, path::Path};

use flora_federation::{
    AGGREGATION_ERROR, ClientScore, EPSILON, EvaluatedModel, Event, Reason, RunStatus,
};

use crate::{runs::events, tally::spent};

/// A `metrics.jsonl`, sorted into rounds. Rounds are counted as [`Event::Evaluated`] counts them: how many rounds of
/// training the model has seen.
#[derive(Debug, Default)]
pub(in crate::page) struct History {
    /// Clients at the start: name, training images, images it is scored on.
    pub(in crate::page) clients: Vec<(String, usize, usize)>,
    pub(in crate::page) planned: Option<usize>,
    /// The global model by round, or the clients' own models where there is none.
    pub(in crate::page) evaluated: Vec<Evaluation>,
    /// The clients' models after local training.
    pub(in crate::page) local: Vec<Evaluation>,
    pub(in crate::page) rounds: BTreeMap<usize, Round>,
    pub(in crate::page) failures: Vec<Failed>,
    /// Wall-clock seconds by phase, as told at the end of the run.
    pub(in crate::page) phases: Vec<(String, f64)>,
    pub(in crate::page) notes: Vec<String>,
    pub(in crate::page) warnings: Vec<String>,
    pub(in crate::page) ended: Option<(RunStatus, Option<String>)>,
    /// The reason why the rest could not be read.
    pub(in crate::page) problem: Option<String>,
}

/// One test of a model on all clients.
#[derive(Debug)]
pub(in crate::page) struct Evaluation {
    pub(in crate::page) round: usize,
    pub(in crate::page) accuracy: f64,
    pub(in crate::page) loss: Option<f64>,
    /// Those with images to be scored on. Empty for local models, of which only the means are shown.
    pub(in crate::page) clients: Vec<ClientScore>,
}

impl Evaluation {
    /// The lowest accuracy of a client, with its name.
    pub(in crate::page) fn worst(&self) -> Option<&ClientScore> {
        self.clients.iter().reduce(|a, b| if b.accuracy < a.accuracy { b } else { a })
    }

    pub(in crate::page) fn of(&self, client: &str) -> Option<&ClientScore> {
        self.clients.iter().find(|score| score.client == client)
    }
}

/// The cost of training a round, over all its attempts.
#[derive(Debug, Default, Clone, PartialEq)]
pub(in crate::page) struct Round {
    pub(in crate::page) bytes_up: u64,
    pub(in crate::page) bytes_down: u64,
    /// The clients' own seconds, summed.
    pub(in crate::page) training: f64,
    pub(in crate::page) aggregation: f64,
    pub(in crate::page) evaluation: f64,
    /// The clients' loss while they trained.
    pub(in crate::page) loss: Option<f64>,
    pub(in crate::page) aggregation_error: Option<f64>,
    /// The privacy budget spent after it.
    pub(in crate::page) epsilon: Option<f64>,
}

/// A client that was left out of a round.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::page) struct Failed {
    pub(in crate::page) round: usize,
    pub(in crate::page) client: String,
    pub(in crate::page) reason: Reason,
    pub(in crate::page) message: String,
}

impl History {
    /// Reads the file up to its end, or to the first line that is damaged. A last line without its end is being
    /// written, or was when the run was killed.
    pub(in crate::page) fn read(path: &Path) -> Self {
        let mut history = Self::default();
        let problem = events::read(path, &events::KINDS, |event| history.hear(event)).err();
        history.problem = problem.map(|problem| match problem.is_damage() {
            true => {
                format!("{problem}; the lines after it are not shown: restore the file from a copy")
            }
            false => problem.to_string(),
        });
        history
    }

    fn round(&mut self, round: usize) -> &mut Round {
        self.rounds.entry(round).or_default()
    }

    /// The round that events of training count from 0.
    fn trained_in(&mut self, round: usize) -> &mut Round {
        self.round(round.saturating_add(1))
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::RunStarted { clients, rounds, .. } => {
                let client = |it: flora_federation::ClientInfo| {
                    (it.id, it.num_examples, it.num_test_examples)
                };
                self.clients = clients.into_iter().map(client).collect();
                self.planned = Some(rounds);
            }
            Event::RoundStarted { round, .. } => {
                self.trained_in(round);
            }
            Event::ClientReplied { round, seconds, metrics, .. } => {
                let round = self.trained_in(round);
                round.training += seconds;
                round.epsilon = spent(round.epsilon, metrics.get(EPSILON).copied());
            }
            Event::ClientFailed { round, client, reason, message } => {
                self.trained_in(round);
                let round = round.saturating_add(1);
                self.failures.push(Failed { round, client, reason, message });
            }
            Event::BelowQuorum { round, message, .. } => {
                self.trained_in(round);
                self.warnings.push(format!("round {}: {message}", round.saturating_add(1)));
            }
            Event::Aggregated { round, bytes_up, bytes_down, seconds, metrics, .. } => {
                let round = self.trained_in(round);
                round.bytes_up = round.bytes_up.saturating_add(bytes_up);
                round.bytes_down = round.bytes_down.saturating_add(bytes_down);
                round.aggregation += seconds;
                let finite = |key: &str| metrics.get(key).copied().filter(|it| it.is_finite());
                round.loss = finite("loss");
                round.aggregation_error = finite(AGGREGATION_ERROR);
                round.epsilon = spent(round.epsilon, metrics.get(EPSILON).copied());
            }
            Event::Evaluated { round, model, accuracy, loss, clients, seconds, .. } => {
                let loss = loss.filter(|loss| loss.is_finite());
                let mut evaluation = Evaluation { round, accuracy, loss, clients: Vec::new() };
                if model == EvaluatedModel::Local {
                    self.local.push(evaluation);
                } else {
                    let scored = clients.into_iter().filter(|score| score.num_examples > 0);
                    evaluation.clients = scored.collect();
                    self.round(round).evaluation += seconds;
                    self.evaluated.push(evaluation);
                }
            }
            Event::PhaseFinished { phase, seconds } => {
                match self.phases.iter_mut().find(|(name, _)| *name == phase) {
                    Some((_, sum)) => *sum += seconds,
                    None => self.phases.push((phase, seconds)),
                }
            }
            Event::Note { message } => self.notes.push(message),
            Event::Warning { message } => self.warnings.push(message),
            Event::RunFinished { status, message, .. } => self.ended = Some((status, message)),
            _ => {}
        }
    }

    /// The model before any training.
    pub(in crate::page) fn start(&self) -> Option<&Evaluation> {
        self.evaluated.iter().find(|it| it.round == 0)
    }

    pub(in crate::page) fn last(&self) -> Option<&Evaluation> {
        self.evaluated.last()
    }

    /// Rounds of training, without the test before them.
    pub(in crate::page) fn trained(&self) -> impl Iterator<Item = (usize, &Round)> {
        self.rounds.iter().filter(|(round, _)| **round > 0).map(|(&number, round)| (number, round))
    }
}
