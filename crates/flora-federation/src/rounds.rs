use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

use crate::{
    ClientError, ClientInfo, ClientScore, ClientSelector, EvaluateInstruction, EvaluatedModel,
    Event, FederationError, FitInstruction, FitReply, Fleet, Outcome, RoundScore, Stage, Strategy,
    outcome::Progress,
};

/// How rounds are run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoundsConfig {
    /// Rounds of training; 0 evaluates the initial parameters and stops.
    pub rounds: usize,
    /// Who takes part in a round.
    pub selection: ClientSelector,
    /// The seed of the selection.
    pub seed: u64,
    /// Whether the accuracies of local models, where clients report them, are told as events.
    pub evaluate_local: bool,
}

/// Trains for `config.rounds` rounds and tells `sink` what happens.
///
/// Clients that hold training examples train; one that holds none is never selected. The global model
/// is evaluated at the start of every round and once after the last, on every
/// client that has test examples: round 0 is exactly the initial parameters. A client that fails is
/// told as [`Event::ClientFailed`] and its round goes on without it.
///
/// # Errors
/// Settings that make no sense, before anything runs. [`FederationError::Interrupted`] if nobody
/// could train, nobody could test, or the strategy found no next record; it carries what was
/// computed until then.
pub fn run_rounds(
    fleet: &mut dyn Fleet,
    strategy: &mut dyn Strategy,
    initial: ParameterRecord,
    config: &RoundsConfig,
    sink: &mut dyn FnMut(&Event),
) -> Result<Outcome, FederationError> {
    let clients = fleet.clients();
    check(&clients, &initial, config)?;
    let mut run = Run {
        fleet,
        strategy,
        config,
        sink,
        ids: trainers(&clients).map(|info| info.id.clone()).collect(),
        test_examples: clients
            .into_iter()
            .filter(|info| info.num_test_examples > 0)
            .map(|info| (info.id, info.num_test_examples))
            .collect(),
        progress: Progress::new(initial),
    };
    let result = run.all_rounds();
    run.tell_phases();
    let partial = run.progress.into_partial();
    match result {
        Ok(()) => Ok(partial.outcome.expect("all rounds begin with an evaluation")),
        Err(failure) => Err(FederationError::Interrupted {
            round: failure.round,
            stage: failure.stage,
            reason: failure.reason,
            partial: Box::new(partial),
        }),
    }
}

fn check(
    clients: &[ClientInfo],
    initial: &ParameterRecord,
    config: &RoundsConfig,
) -> Result<(), FederationError> {
    if clients.is_empty() {
        return Err(FederationError::NoClients);
    }
    let mut ids = BTreeSet::new();
    if let Some(info) = clients.iter().find(|info| !ids.insert(&info.id)) {
        let id = info.id.clone();
        return Err(FederationError::DuplicateClient { id });
    }
    if clients.iter().all(|info| info.num_test_examples == 0) {
        return Err(FederationError::NoTestExamples);
    }
    if initial.is_empty() && config.rounds > 0 {
        return Err(FederationError::NoParameters);
    }
    initial.check_finite().map_err(FederationError::Initial)?;
    match trainers(clients).count() {
        0 if config.rounds > 0 => Err(FederationError::NoTrainingExamples),
        0 => Ok(()),
        trainers => config.selection.check(trainers),
    }
}

/// Clients without training examples are there to be tested.
fn trainers(clients: &[ClientInfo]) -> impl Iterator<Item = &ClientInfo> {
    clients.iter().filter(|info| info.num_examples > 0)
}

struct Failure {
    round: usize,
    stage: Stage,
    reason: String,
}

struct Run<'a> {
    fleet: &'a mut dyn Fleet,
    strategy: &'a mut dyn Strategy,
    config: &'a RoundsConfig,
    sink: &'a mut dyn FnMut(&Event),
    ids: Vec<String>,
    /// Test examples of the clients that have any, by id.
    test_examples: BTreeMap<String, usize>,
    progress: Progress,
}

impl Run<'_> {
    fn all_rounds(&mut self) -> Result<(), Failure> {
        for round in 0..self.config.rounds {
            self.evaluate(round)?;
            let selection = &self.config.selection;
            let selected = selection.select(&self.ids, self.config.seed, round);
            let replies = self.fit(round, selected.clone())?;
            self.aggregate(round, selected.len(), &replies)?;
        }
        self.evaluate(self.config.rounds)
    }

    fn evaluate(&mut self, round: usize) -> Result<(), Failure> {
        let start = Instant::now();
        let trainers: BTreeSet<&String> = self.ids.iter().collect();
        // Without a global model, those who never train have none to test.
        let tested = |id: &&String| self.strategy.shares() || trainers.contains(id);
        let ids: Vec<_> = self.test_examples.keys().filter(tested).cloned().collect();
        let instruction =
            EvaluateInstruction { round, parameters: Arc::clone(&self.progress.current) };
        let answers = self.fleet.evaluate(&ids, &instruction, &mut |_| {});

        let (mut scores, mut errors) = (Vec::new(), Vec::new());
        for answer in answers {
            let score = answer.and_then(|reply| {
                ClientScore::from_metrics(&reply.client, reply.num_examples, &reply.metrics, "loss")
            });
            match score {
                Ok(score) => scores.push(score),
                Err(error) => {
                    (self.sink)(&client_failed(round, &error));
                    errors.push(error);
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        self.progress.seconds.evaluation += seconds;
        let Some(mean) = RoundScore::mean(round, &scores) else {
            return Err(Failure {
                round,
                stage: Stage::Evaluation,
                reason: nobody("tested", &errors),
            });
        };
        self.progress.scored(mean);
        let model = match self.strategy.shares() {
            true => EvaluatedModel::Global,
            false => EvaluatedModel::Own,
        };
        (self.sink)(&Event::evaluated(model, mean, scores, seconds));
        Ok(())
    }

    fn fit(&mut self, round: usize, selected: Vec<String>) -> Result<Vec<FitReply>, Failure> {
        let start = Instant::now();
        (self.sink)(&Event::RoundStarted { round, selected: selected.clone() });
        let instruction = FitInstruction { round, parameters: Arc::clone(&self.progress.current) };
        let (sink, shares) = (&mut *self.sink, self.strategy.shares());
        let answers = self.fleet.fit(&selected, &instruction, &mut |answer| {
            sink(&match answer {
                Ok(reply) => client_replied(round, reply, shares),
                Err(error) => client_failed(round, error),
            });
        });
        self.progress.seconds.training += start.elapsed().as_secs_f64();
        self.progress.bytes_down += self.bytes_down(selected.len());

        let (mut replies, mut errors) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(reply) => replies.push(reply),
                Err(error) => errors.push(error),
            }
        }
        self.progress.bytes_up += self.bytes_up(&replies);
        if replies.is_empty() {
            return Err(Failure {
                round,
                stage: Stage::Training,
                reason: nobody("trained", &errors),
            });
        }
        self.warn_of_untrained(round, &replies);
        // Without a global model, the next evaluation is of these very models.
        if self.config.evaluate_local && self.strategy.shares() {
            self.tell_local_accuracies(round, &replies);
        }
        Ok(replies)
    }

    /// An adapter that stays as it was, in silence, is the commonest fault of federated fine-tuning.
    fn warn_of_untrained(&mut self, round: usize, replies: &[FitReply]) {
        // Without a global model, it is not what the clients began this round with.
        if !self.strategy.shares() && round > 0 {
            return;
        }
        let sent = &self.progress.current;
        let untrained = replies.iter().filter(|reply| reply.parameters == **sent);
        let clients: Vec<&str> = untrained.map(|reply| reply.client.as_str()).collect();
        // One line, however many: with ten thousand clients nobody would read theirs.
        let who = match clients[..] {
            [] => return,
            [only] => format!("client {only}"),
            [first, ref rest @ ..] => format!("client {first} and {} more", rest.len()),
        };
        (self.sink)(&Event::Warning {
            message: format!(
                "round {round}: nothing changed: {who} trained nothing; check examples, the \
                 learning rate and which parameters train"
            ),
        });
    }

    fn tell_local_accuracies(&mut self, round: usize, replies: &[FitReply]) {
        let mut scores = Vec::new();
        for reply in replies.iter().filter(|reply| reply.metrics.contains_key("accuracy")) {
            let Some(&examples) = self.test_examples.get(&reply.client) else {
                continue;
            };
            let metrics = &reply.metrics;
            match ClientScore::from_metrics(&reply.client, examples, metrics, "test_loss") {
                Ok(score) => scores.push(score),
                Err(error) => (self.sink)(&Event::Warning {
                    message: format!("round {round}: local model of {error}"),
                }),
            }
        }
        // These models have seen one round more than the global model of this round.
        if let Some(mean) = RoundScore::mean(round + 1, &scores) {
            let model = EvaluatedModel::Local;
            (self.sink)(&Event::evaluated(model, mean, scores, 0.0));
        }
    }

    fn aggregate(
        &mut self,
        round: usize,
        selected: usize,
        replies: &[FitReply],
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let current = Arc::clone(&self.progress.current);
        let aggregate = self.strategy.aggregate(round, &current, replies);
        let seconds = start.elapsed().as_secs_f64();
        self.progress.seconds.aggregation += seconds;
        let aggregate = aggregate.map_err(|error| Failure {
            round,
            stage: Stage::Aggregation,
            reason: error.to_string(),
        })?;
        for error in &aggregate.rejected {
            let message = format!("its reply was left out of the aggregate: {}", error.message);
            (self.sink)(&client_failed(round, &ClientError::new(&error.client, message)));
        }
        let (bytes_up, bytes_down) = (self.bytes_up(replies), self.bytes_down(selected));
        (self.sink)(&Event::Aggregated {
            round,
            strategy: self.strategy.name().to_owned(),
            replies: replies.len() - aggregate.rejected.len(),
            bytes_up,
            bytes_down,
            seconds,
            metrics: aggregate.metrics,
        });
        self.progress.current = Arc::new(aggregate.parameters);
        Ok(())
    }

    /// Bytes that clients send with these replies.
    fn bytes_up(&self, replies: &[FitReply]) -> u64 {
        let bytes = |reply: &FitReply| reply.parameters.byte_len() as u64;
        if self.strategy.shares() { replies.iter().map(bytes).sum() } else { 0 }
    }

    /// Bytes that are sent to so many clients, for training.
    fn bytes_down(&self, selected: usize) -> u64 {
        let sent = self.progress.current.byte_len() * selected;
        if self.strategy.shares() { sent as u64 } else { 0 }
    }

    fn tell_phases(&mut self) {
        let seconds = self.progress.seconds;
        for (phase, seconds) in [
            ("training", seconds.training),
            ("aggregation", seconds.aggregation),
            ("evaluation", seconds.evaluation),
        ] {
            let phase = phase.to_owned();
            (self.sink)(&Event::PhaseFinished { phase, seconds });
        }
    }
}

fn client_replied(round: usize, reply: &FitReply, shares: bool) -> Event {
    Event::ClientReplied {
        round,
        client: reply.client.clone(),
        seconds: reply.seconds,
        num_examples: reply.num_examples,
        metrics: reply.metrics.clone(),
        bytes_up: if shares { reply.parameters.byte_len() as u64 } else { 0 },
    }
}

fn client_failed(round: usize, error: &ClientError) -> Event {
    Event::ClientFailed { round, client: error.client.clone(), message: error.message.clone() }
}

fn nobody(did: &str, errors: &[ClientError]) -> String {
    match errors {
        [] => format!("no client {did}: none has examples"),
        [only] => format!("no client {did}: {only}"),
        [first, rest @ ..] => format!("no client {did}: {first} (and {} more)", rest.len()),
    }
}
