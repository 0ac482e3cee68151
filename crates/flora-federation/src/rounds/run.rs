//! A run as a sequence of steps; a resumed run can start at any of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Listener, Rounds, RoundsConfig};
use crate::{
    Answer, ClientInfo, Event, Failure, FederationError, Fleet, Global, Message, Outcome, Reason,
    RunState, Selection, Stage, Strategy, Task, Wait,
    outcome::RunProgress,
    state::{Begin, Step, StepKind},
};

/// The result of a step.
pub(super) enum Done {
    /// The step is done; this is the next one, if any.
    Next(Option<Step>),
    /// The run was asked to stop; these replies had already arrived.
    Stopped(Vec<Answer>),
}

/// Why a run ends before its last round.
pub(super) struct Broken {
    pub(super) round: usize,
    pub(super) stage: Stage,
    pub(super) reason: String,
}

pub(super) struct Run<'a> {
    pub(super) fleet: &'a mut dyn Fleet,
    pub(super) strategy: &'a mut dyn Strategy,
    pub(super) selection: &'a dyn Selection,
    pub(super) config: &'a RoundsConfig,
    pub(super) wait: Wait,
    pub(super) listener: &'a mut dyn Listener,
    pub(super) progress: RunProgress,
    pub(super) is_masked: bool,
}

pub(super) fn start(
    rounds: &Rounds<'_>,
    fleet: &mut dyn Fleet,
    strategy: &mut dyn Strategy,
    begin: Begin,
    listener: &mut dyn Listener,
) -> Result<Outcome, FederationError> {
    let &Rounds { config, selection, ref stop, is_masked } = rounds;
    config.policy.check()?;
    let is_new = matches!(begin, Begin::Anew(_));
    let (step, begun, progress) = match begin {
        Begin::Anew(initial) => {
            let clients = fleet.clients(0).map_err(FederationError::Fleet)?;
            check(&clients, selection, config)?;
            if initial.is_empty() && config.rounds > 0 {
                return Err(FederationError::NoParameters);
            }
            initial.check_finite().map_err(FederationError::Initial)?;
            let first = Step { round: 0, kind: StepKind::Evaluate, attempt: 0 };
            (Some(first), None, RunProgress::new(config.share.part(&initial)))
        }
        Begin::From(state) => {
            let RunState { step, begun, progress, strategy: remembered, fleet: members } = *state;
            strategy
                .restore(remembered)
                .map_err(|error| FederationError::State(error.to_string()))?;
            fleet.restore(&members).map_err(FederationError::Fleet)?;
            (step, begun, progress)
        }
    };
    let deadline = config.policy.deadline.map(Duration::from_secs_f64);
    let wait = Wait { deadline, stop: stop.clone() };
    let mut run = Run { fleet, strategy, selection, config, wait, listener, progress, is_masked };
    // Saved at the very beginning, so that there is always a state to resume.
    let first = if is_new { run.keep(step, None) } else { Ok(()) };
    let result = first.and_then(|()| run.all_steps(step, begun));
    run.tell_phases();
    let partial = Box::new(run.progress.into_partial(config));
    match result {
        Ok(None) => Ok(partial.outcome.expect("the first step of every run is an evaluation")),
        Ok(Some(step)) => Err(FederationError::Stopped { round: step.round, partial }),
        Err(Broken { round, stage, reason }) => {
            Err(FederationError::RoundFailed { round, stage, reason, partial })
        }
    }
}

/// Checks for problems that would make every round fail.
fn check(
    clients: &[ClientInfo],
    selection: &dyn Selection,
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
    let trainers = trainers(clients);
    match trainers.len() {
        0 if config.rounds > 0 => Err(FederationError::NoTrainingExamples),
        0 => Ok(()),
        _ => selection.check(&trainers),
    }
}

/// Clients with training examples; the others are only tested.
pub(super) fn trainers(clients: &[ClientInfo]) -> Vec<ClientInfo> {
    clients.iter().filter(|info| info.num_examples > 0).cloned().collect()
}

impl Run<'_> {
    /// Runs all steps from `step` on. Returns the step to resume if the run was asked to stop before the last.
    fn all_steps(
        &mut self,
        mut step: Option<Step>,
        mut begun: Option<Vec<Answer>>,
    ) -> Result<Option<Step>, Broken> {
        while let Some(now) = step {
            if self.wait.stop.is_raised() {
                self.keep(Some(now), begun)?;
                return Ok(Some(now));
            }
            // The strategy's state before the step: an unfinished step is repeated in full.
            let before = self.strategy.state();
            let done = match now.kind {
                StepKind::Evaluate => self.evaluate(now, begun.take())?,
                StepKind::Train => self.train(now, begun.take())?,
            };
            match done {
                Done::Next(next) => {
                    step = next;
                    let is_to_be_kept = step.is_none() || self.is_to_be_kept(now.round);
                    if now.kind == StepKind::Evaluate && is_to_be_kept {
                        self.keep(step, None)?;
                    }
                }
                Done::Stopped(answers) => {
                    self.keep_with(Some(now), Some(answers), before)?;
                    return Ok(Some(now));
                }
            }
        }
        Ok(None)
    }

    fn is_to_be_kept(&self, round: usize) -> bool {
        let every = self.config.save_every;
        every > 0 && round.is_multiple_of(every)
    }

    fn keep(&mut self, step: Option<Step>, begun: Option<Vec<Answer>>) -> Result<(), Broken> {
        let strategy = self.strategy.state();
        self.keep_with(step, begun, strategy)
    }

    fn keep_with(
        &mut self,
        step: Option<Step>,
        begun: Option<Vec<Answer>>,
        strategy: Message,
    ) -> Result<(), Broken> {
        if self.config.save_every == 0 {
            return Ok(());
        }
        let last = || self.progress.history.last().map_or(0, |score| score.round);
        let round = step.map_or_else(last, |step| step.round);
        let broken = |reason: String| Broken { round, stage: Stage::Saving, reason };
        let start = Instant::now();
        let fleet = self.fleet.commit().map_err(|error| broken(error.to_string()))?;
        let state = RunState { step, begun, progress: self.progress.clone(), strategy, fleet };
        let kept = self.listener.keep(&state);
        self.progress.seconds.saving += start.elapsed().as_secs_f64();
        kept.map_err(broken)
    }

    pub(super) fn global(&self, round: usize) -> Global {
        Global { round, parameters: Arc::clone(&self.progress.global) }
    }

    /// The clients that are present, sorted by id.
    pub(super) fn clients(
        &mut self,
        round: usize,
        stage: Stage,
    ) -> Result<Vec<ClientInfo>, Broken> {
        let clients = self.fleet.clients(round);
        let mut clients =
            clients.map_err(|error| Broken { round, stage, reason: error.to_string() })?;
        clients.sort_by(|left, right| left.id.cmp(&right.id));
        clients.dedup_by(|left, right| left.id == right.id);
        Ok(clients)
    }

    /// Sends the tasks of clients that have not replied yet and collects the replies by client. Also returns whether
    /// all have arrived, which they have not if the run was asked to stop.
    pub(super) fn collect(
        &mut self,
        stage: Stage,
        tasks: Vec<Task>,
        earlier: Vec<Answer>,
    ) -> Result<(BTreeMap<String, Answer>, bool), Broken> {
        let asked: BTreeSet<String> = tasks.iter().map(|task| task.client.clone()).collect();
        let started = Instant::now();
        let Some(first) = tasks.first() else { return Ok((BTreeMap::new(), true)) };
        let (round, attempt, kind) = (first.round, first.attempt, first.kind.clone());
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        for answer in earlier.into_iter().filter(|answer| asked.contains(&answer.client)) {
            answers.insert(answer.client.clone(), answer);
        }
        let open: Vec<Task> =
            tasks.into_iter().filter(|task| !answers.contains_key(&task.client)).collect();
        let listener = &mut *self.listener;
        let mut strangers = Vec::new();
        let (of, before) = (asked.len(), answers.len());
        let mut heard = before;
        let result = self.fleet.exchange(open, &self.wait, &mut |answer| {
            if !asked.contains(&answer.client) {
                strangers.push(stranger(&answer, "it replied, but was not asked"));
            } else if (answer.attempt, &answer.kind) != (attempt, &kind) {
                strangers.push(stranger(&answer, "it replied to another task of the round"));
            } else if answers.contains_key(&answer.client) {
                strangers.push(stranger(&answer, "it replied more than once; the first counts"));
            } else {
                heard += 1;
                listener.answered(&answer, heard, of);
                answers.insert(answer.client.clone(), answer);
            }
        });
        strangers.sort_by(|left, right| left.0.cmp(&right.0));
        for (client, failure) in &strangers {
            self.listener.event(&client_failed(round, client, failure));
        }
        result.map_err(|error| Broken { round, stage, reason: error.to_string() })?;
        // A client that missed the deadline is late and is not asked again, even if the run was asked to stop.
        let in_time = self.wait.deadline.is_none_or(|deadline| started.elapsed() < deadline);
        if self.wait.stop.is_raised() && in_time && answers.len() < asked.len() {
            return Ok((answers, false));
        }
        let late = Failure { reason: Reason::Late, message: self.late() };
        for client in asked {
            answers.entry(client.clone()).or_insert_with(|| Answer {
                client,
                round,
                attempt,
                kind: kind.clone(),
                result: Err(late.clone()),
                bytes_up: 0,
                seconds: 0.0,
            });
        }
        Ok((answers, true))
    }

    fn late(&self) -> String {
        match self.config.policy.deadline {
            Some(seconds) => format!("it had not replied after {seconds} s, the round's deadline"),
            None => "the fleet gave no reply".to_owned(),
        }
    }

    fn tell_phases(&mut self) {
        let seconds = self.progress.seconds;
        for (phase, seconds) in [
            ("training", seconds.training),
            ("aggregation", seconds.aggregation),
            ("evaluation", seconds.evaluation),
            ("saving", seconds.saving),
        ] {
            let phase = phase.to_owned();
            self.listener.event(&Event::PhaseFinished { phase, seconds });
        }
    }
}

fn stranger(answer: &Answer, message: &str) -> (String, Failure) {
    let failure = Failure { reason: Reason::Refused, message: message.to_owned() };
    (answer.client.clone(), failure)
}

pub(super) fn client_failed(round: usize, client: &str, failure: &Failure) -> Event {
    Event::ClientFailed {
        round,
        client: client.to_owned(),
        reason: failure.reason,
        message: failure.message.clone(),
    }
}

/// The message if no client completed the step: the first failure, and the number of further ones.
pub(super) fn nobody(did: &str, failures: &[(String, Failure)]) -> String {
    let first =
        failures.first().map(|(client, failure)| format!("client {client}: {}", failure.message));
    match (first, failures.len()) {
        (None, _) => format!("no client {did}: none has examples"),
        (Some(first), 1) => format!("no client {did}: {first}"),
        (Some(first), count) => format!("no client {did}: {first} (and {} more)", count - 1),
    }
}
