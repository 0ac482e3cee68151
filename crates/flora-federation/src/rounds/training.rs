//! A round of training: select, instruct, collect, check, aggregate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    BelowQuorum,
    run::{Broken, Done, Run, client_failed, nobody, trainers},
};
use crate::{
    Accepted, Answer, ClientInfo, ClientScore, Draw, EPSILON, EvaluatedModel, Event, Failure,
    Global, Kind, Message, Metrics, NUM_EXAMPLES, Reason, RoundScore, Stage, Task, gate,
    state::{Step, StepKind},
};

impl Run<'_> {
    pub(super) fn train(&mut self, step: Step, begun: Option<Vec<Answer>>) -> Result<Done, Broken> {
        let start = Instant::now();
        let Step { round, attempt, .. } = step;
        let stage = Stage::Training;
        let clients = self.clients(round, stage)?;
        let global = self.global(round);
        let trainers = trainers(&clients);
        let may_be_nobody = !trainers.is_empty() && self.selection.may_select_nobody();
        let (selected, absent) = self.select(step, trainers);
        let counts_nobody = self.strategy.counts_nobody();
        let nobody_was_drawn = may_be_nobody && selected.is_empty() && !counts_nobody;
        let mut sent: BTreeMap<String, (ClientInfo, Message)> = BTreeMap::new();
        let mut tasks = Vec::with_capacity(selected.len());
        for info in selected {
            let message = self.strategy.instruct(&global, &info, &Kind::Train);
            let client = info.id.clone();
            sent.insert(client.clone(), (info, message.clone()));
            tasks.push(Task { client, round, attempt, kind: Kind::Train, message });
        }
        // A resumed run has emitted this event already.
        if begun.is_none() {
            let selected = sent.keys().cloned().collect();
            self.listener.event(&Event::RoundStarted { round, selected });
            if absent > 0 {
                let drawn = absent + sent.len();
                let message = format!(
                    "round {round}: {absent} of the {drawn} selected clients are absent, and count as failed"
                );
                self.listener.event(&Event::Warning { message });
            }
        }
        if nobody_was_drawn {
            return Ok(self.pass(round));
        }
        let asked = tasks.clone();
        let (mut answers, whole) = self.collect(stage, tasks, begun.unwrap_or_default())?;
        self.progress.seconds.training += start.elapsed().as_secs_f64();
        if !whole {
            return Ok(Done::Stopped(answers.into_values().collect()));
        }
        let mut pairs: Vec<(&Message, &mut Answer)> = answers
            .values_mut()
            .filter_map(|answer| Some((&sent.get(&answer.client)?.1, answer)))
            .collect();
        self.fleet.conclude(round, &mut pairs);
        let bytes_down = asked.iter().map(|task| self.fleet.bytes_down(task)).sum();
        let bytes_up = answers.values().map(|answer| answer.bytes_up).sum();
        self.progress.bytes_down += bytes_down;
        self.progress.bytes_up += bytes_up;

        let (accepted, failures) = self.admit(round, answers, sent);
        let quorum = self.config.policy.quorum;
        if accepted.len() < quorum && !counts_nobody {
            return self.below_quorum(step, accepted.len(), &failures);
        }
        self.warn_of_untrained(&global, &accepted);
        if self.selection.wants_losses() {
            let loss =
                |it: &Accepted| Some((it.client.id.clone(), *it.message.metrics.get("loss")?));
            let told = accepted.iter().filter_map(loss).filter(|(_, loss)| loss.is_finite());
            self.progress.losses.extend(told);
        }
        // Without a global model, the next evaluation is of these very models.
        if self.config.evaluate_local && self.config.share.is_all() {
            self.tell_local_accuracies(round, &clients, &accepted);
        }
        self.aggregate(&global, &accepted, bytes_up, bytes_down)?;
        Ok(Done::Next(Some(Step { round: round + 1, kind: StepKind::Evaluate, attempt: 0 })))
    }

    /// The participants, sorted by id, and the number of selected clients that are absent.
    fn select(&self, step: Step, trainers: Vec<ClientInfo>) -> (Vec<ClientInfo>, usize) {
        let Step { round, attempt, .. } = step;
        let seed = self.strategy.draw_seed().unwrap_or(self.config.seed);
        let draw = Draw { seed, round, attempt };
        let losses = &self.progress.losses;
        let ids = self.selection.select_by_loss(draw, &trainers, losses);
        let ids: BTreeSet<String> = ids.into_iter().collect();
        let there: Vec<_> = trainers.into_iter().filter(|info| ids.contains(&info.id)).collect();
        let absent = ids.len() - there.len();
        (there, absent)
    }

    /// Checks every reply and emits an event for each accepted and each excluded one, sorted by client id.
    fn admit(
        &mut self,
        round: usize,
        answers: BTreeMap<String, Answer>,
        mut sent: BTreeMap<String, (ClientInfo, Message)>,
    ) -> (Vec<Accepted>, Vec<(String, Failure)>) {
        let mut checked = Vec::with_capacity(answers.len());
        for (client, answer) in answers {
            let (info, message) =
                sent.remove(&client).expect("who was not asked is left out before");
            if let Ok(answered) = &answer.result {
                self.listener.event(&client_replied(round, &answer, answered));
            }
            checked.push((client, gate::check(&answer, round, &info, &message, self.strategy)));
        }
        let right = || checked.iter().filter_map(|(_, it)| it.as_ref().ok());
        let sent = self.progress.global.norm();
        let asked = self.config.policy.max_update_norm;
        let bound = gate::bound(asked, sent, right().map(|it| it.norm));
        // The user's bound is on the parameters; other records have units of their own.
        let bound_of_others = gate::bound(None, sent, right().map(|it| it.others));
        let (mut accepted, mut failures) = (Vec::new(), Vec::new());
        for (client, it) in checked {
            let refuse = |message| Err(Failure { reason: Reason::Refused, message });
            let it = it.and_then(|it| match (it.norm <= bound, it.others <= bound_of_others) {
                (true, true) => Ok(it.accepted),
                (false, _) => refuse(too_large(it.norm, bound, asked.is_some())),
                (true, false) => refuse(format!(
                    "the norm of its update beside the parameters is {:.4e}, more than {bound_of_others:.4e}: lower \
                     the learning rate",
                    it.others
                )),
            });
            match it {
                Ok(it) => accepted.push(it),
                Err(failure) => {
                    self.listener.event(&client_failed(round, &client, &failure));
                    failures.push((client, failure));
                }
            }
        }
        (accepted, failures)
    }

    /// A round for which the draw selected no client.
    fn pass(&mut self, round: usize) -> Done {
        self.listener.event(&Event::BelowQuorum {
            round,
            accepted: 0,
            quorum: self.config.policy.quorum,
            then: BelowQuorum::Skip,
            message: "no client trained: the draw selected no client".to_owned(),
        });
        Done::Next(Some(Step { round: round + 1, kind: StepKind::Evaluate, attempt: 0 }))
    }

    fn below_quorum(
        &mut self,
        step: Step,
        accepted: usize,
        failures: &[(String, Failure)],
    ) -> Result<Done, Broken> {
        let Step { round, attempt, .. } = step;
        let policy = &self.config.policy;
        let quorum = policy.quorum;
        let missing = match accepted {
            0 if failures.is_empty() => "no client trained: none was selected".to_owned(),
            0 => nobody("trained", failures),
            _ => {
                let who: Vec<&str> = failures.iter().take(3).map(|(id, _)| id.as_str()).collect();
                let more = failures.len().saturating_sub(who.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("missing: {}{more}", who.join(", "))
            }
        };
        let (then, next) = match policy.below_quorum {
            BelowQuorum::Retry if attempt < policy.retries => {
                (BelowQuorum::Retry, Step { attempt: attempt + 1, ..step })
            }
            BelowQuorum::Skip => {
                let next = Step { round: round + 1, kind: StepKind::Evaluate, attempt: 0 };
                (BelowQuorum::Skip, next)
            }
            _ => (BelowQuorum::Fail, step),
        };
        self.listener.event(&Event::BelowQuorum {
            round,
            accepted,
            quorum,
            then,
            message: missing.clone(),
        });
        if then != BelowQuorum::Fail {
            return Ok(Done::Next(Some(next)));
        }
        let reason = match accepted {
            0 => missing,
            _ => format!(
                "{accepted} replies were accepted, fewer than the quorum of {quorum}; {missing}"
            ),
        };
        Err(Broken { round, stage: Stage::Training, reason })
    }

    /// Warns of adapters that did not change: the most common silent fault of federated fine-tuning.
    fn warn_of_untrained(&mut self, global: &Global, accepted: &[Accepted]) {
        let untrained = accepted.iter().filter(|answer| is_untrained(answer));
        let clients: Vec<&str> = untrained.map(|answer| answer.client.id.as_str()).collect();
        // A single line for any number of clients: with ten thousand of them, nobody would read one each.
        let who = match clients[..] {
            [] => return,
            [only] => format!("client {only}"),
            [first, ref rest @ ..] => format!("client {first} and {} more", rest.len()),
        };
        let round = global.round + 1;
        let message = match self.is_masked {
            true => format!(
                "round {round}: no parameter changed, because the updates of {who} were rounded to zero before \
                 masking, or nothing was trained; lower federation.secure.norm or federation.secure.range, raise \
                 federation.secure.bits, and check the learning rate"
            ),
            false => format!(
                "round {round}: no parameter changed in the training of {who}; check examples, the learning rate and \
                 which parameters train"
            ),
        };
        self.listener.event(&Event::Warning { message });
    }

    fn tell_local_accuracies(
        &mut self,
        round: usize,
        clients: &[ClientInfo],
        accepted: &[Accepted],
    ) {
        let tests: BTreeMap<&str, usize> = clients
            .iter()
            .filter(|info| info.num_test_examples > 0)
            .map(|info| (info.id.as_str(), info.num_test_examples))
            .collect();
        let mut scores = Vec::new();
        for answer in accepted.iter().filter(|it| it.message.metrics.contains_key("accuracy")) {
            let id = &answer.client.id;
            let Some(&examples) = tests.get(id.as_str()) else { continue };
            let metrics = &answer.message.metrics;
            match ClientScore::from_metrics(id, examples, metrics, "test_loss") {
                Ok(score) => scores.push(score),
                Err(problem) => self.listener.event(&Event::Warning {
                    message: format!("round {}: local model of client {id}: {problem}", round + 1),
                }),
            }
        }
        // These models have been trained one round longer than the global model of this round.
        if let Some(mean) = RoundScore::mean(round + 1, &scores) {
            let model = EvaluatedModel::Local;
            self.listener.event(&Event::evaluated(model, mean, scores, 0.0));
        }
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
        bytes_up: u64,
        bytes_down: u64,
    ) -> Result<(), Broken> {
        let start = Instant::now();
        // If no parameters are sent there is nothing to aggregate.
        let aggregate = match global.parameters.is_empty() {
            true => Ok(crate::Aggregate::new(global.parameters.as_ref().clone())),
            false => self.strategy.aggregate(global, accepted).and_then(|aggregate| {
                // A strategy's arithmetic may exceed the range of the element type or give NaN.
                if !aggregate.is_reshaped {
                    aggregate.parameters.check_matches(&global.parameters)?;
                }
                aggregate.parameters.check_finite()?;
                Ok(aggregate)
            }),
        };
        let seconds = start.elapsed().as_secs_f64();
        self.progress.seconds.aggregation += seconds;
        let round = global.round;
        let stage = Stage::Aggregation;
        let aggregate =
            aggregate.map_err(|error| Broken { round, stage, reason: error.to_string() })?;
        let mut metrics = mean_metrics(accepted);
        metrics.extend(aggregate.metrics);
        self.listener.event(&Event::Aggregated {
            round,
            strategy: self.strategy.name().to_owned(),
            replies: accepted.len(),
            bytes_up,
            bytes_down,
            seconds,
            metrics,
        });
        self.progress.global = Arc::new(aggregate.parameters);
        Ok(())
    }
}

/// Why an update of this norm is rejected. A configured bound also applies to sums, which involve no learning rate.
fn too_large(norm: f64, bound: f64, is_asked: bool) -> String {
    match is_asked {
        true => format!(
            "the norm of its update is {norm:.4e}, more than max_update_norm = {bound:.4e}: raise it or, if the client \
             trains in steps, lower the learning rate"
        ),
        false => format!(
            "the norm of its update is {norm:.4e}, more than {bound:.4e}: lower the learning rate, or set \
             max_update_norm"
        ),
    }
}

/// Whether training changed nothing, as far as the reply shows.
fn is_untrained(answer: &Accepted) -> bool {
    if let Some(&norm) = answer.message.metrics.get("update_norm") {
        return norm == 0.0;
    }
    let sent = answer.sent.get_parameters();
    sent.is_some_and(|sent| !sent.is_empty() && **sent == *answer.parameters)
}

fn client_replied(round: usize, answer: &Answer, message: &Message) -> Event {
    let mut metrics = message.metrics.clone();
    metrics.remove(NUM_EXAMPLES);
    Event::ClientReplied {
        round,
        client: answer.client.clone(),
        seconds: answer.seconds,
        num_examples: message.num_examples().unwrap_or(0),
        metrics,
        bytes_up: answer.bytes_up,
    }
}

/// The example-weighted mean of each metric over the clients that report it as a finite number; for [`EPSILON`], the
/// maximum.
fn mean_metrics(accepted: &[Accepted]) -> Metrics {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for answer in accepted.iter().filter(|answer| answer.num_examples > 0) {
        let weight = answer.num_examples as f64;
        let told = answer.message.metrics.iter();
        for (name, value) in told.filter(|(name, value)| value.is_finite() && *name != NUM_EXAMPLES)
        {
            let (sum, total) = sums.entry(name).or_default();
            *sum += weight * value;
            *total += weight;
        }
    }
    let mut means: Metrics =
        sums.into_iter().map(|(name, (sum, total))| (name.to_owned(), sum / total)).collect();
    if let Some(spent) = means.get_mut(EPSILON) {
        let told = accepted.iter().filter_map(|answer| answer.message.metrics.get(EPSILON));
        *spent = told.copied().filter(|epsilon| epsilon.is_finite()).fold(0.0, f64::max);
    }
    means
}
