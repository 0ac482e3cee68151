use std::collections::BTreeMap;
use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_federation::{
    Answer, ClientInfo, Failure, Fleet, FleetError, Kind, Message, Metrics, Reason, Stop, Task,
    Wait,
};

use super::{SECURE, eligible, number, put, take};
use crate::{
    ClientId, Config, Directory, Request, Response, SecaggError, Server, Session, Setup, Stage,
    Sum, system_rng,
};

/// The properties of a run that a [`SecureFleet`] needs.
pub struct SecureFacts {
    /// The settings. If [`max_weight`](Config::max_weight) is at most 1, the largest number of examples of the round's
    /// clients is used. Clients that registered more than [`MOST_EXAMPLES`] then do not take part.
    pub config: Config,
    /// The run's name, which is part of all keys and signatures.
    pub run: String,
    /// Whether clients return the tensor of that name.
    pub is_answered: Box<dyn Fn(&str) -> bool + Send>,
}

/// A fleet of [`Secure`](super::Secure) clients, which the round loop sees as one that replies with one update: every
/// client in the sum answers a training task with `sent + mean`, where `mean` is the mean update of all of them,
/// weighted by examples. A strategy that averages gets the same result from these as from the individual replies.
///
/// A round of training takes five exchanges: two queries, the training, and two queries. Each has the round's deadline,
/// and a run that is asked to stop does so after the last. Clients that drop out on the way are left out, as far as the
/// settings allow; otherwise the round has no replies, and no update is revealed.
pub struct SecureFleet<F> {
    inner: F,
    facts: SecureFacts,
    /// Identities that were seen.
    directory: Directory,
    /// The numbers of examples that clients registered with.
    examples: BTreeMap<String, u64>,
    /// The bytes of requests, by client, of the last round.
    asked: BTreeMap<String, u64>,
}

/// The most examples of a client for which sums have room, unless the settings say how many there are. A client that
/// registers more would make the others' updates vanish in rounding.
pub const MOST_EXAMPLES: u64 = 1 << 24;

/// The same in a sum of `count` clients, whose total must be below 2^32.
pub(crate) fn most_examples(count: usize) -> u64 {
    MOST_EXAMPLES.min(u64::from(u32::MAX) / count.max(1) as u64)
}

/// The outcome of one client.
struct Member {
    task: Task,
    bytes: u64,
    seconds: f64,
    metrics: Metrics,
    failure: Option<Failure>,
}

impl<F: Fleet> SecureFleet<F> {
    /// `inner`, whose clients are all [`Secure`](super::Secure).
    pub fn new(inner: F, facts: SecureFacts) -> Self {
        let directory = Directory::FirstUse(BTreeMap::new());
        Self { inner, facts, directory, examples: BTreeMap::new(), asked: BTreeMap::new() }
    }

    fn setup(
        &self,
        members: &BTreeMap<ClientId, Member>,
        sent: &ParameterRecord,
    ) -> Result<Setup, SecaggError> {
        let first = &members.values().next().expect("somebody trains").task;
        let answered = eligible(sent).filter(|(name, _)| (self.facts.is_answered)(name));
        let length = answered.map(|(_, tensor)| tensor.len()).sum();
        let max_weight = match self.facts.config.max_weight {
            0 | 1 => {
                members.values().map(|it| self.examples_of(&it.task)).max().unwrap_or(1).max(1)
            }
            more => more,
        };
        let config = Config { max_weight, ..self.facts.config.clone() };
        let session = Session {
            run: self.facts.run.clone(),
            round: first.round as u64,
            attempt: first.attempt as u64,
        };
        config.setup(session, members.keys().copied().collect(), length, &mut system_rng()?)
    }

    fn examples_of(&self, task: &Task) -> u64 {
        self.examples.get(&task.client).copied().unwrap_or(1)
    }

    /// The reason why a client does not take part in a sum of `count` clients whose first task is `first`.
    fn objection(&self, task: &Task, first: &Task, count: usize) -> Option<String> {
        let (own, common) = (&task.message, &first.message);
        if own.records != common.records || own.config != common.config {
            let problem = "it was sent other parameters or settings than the rest, and sums are of updates of the same";
            return Some(problem.to_owned());
        }
        let most = most_examples(count);
        match self.facts.config.max_weight <= 1 && self.examples_of(task) > most {
            true => Some(format!(
                "it registered {} examples, and in a sum of {count} clients {most} are the most; if that is right, set \
                 federation.secure.max_weight",
                self.examples_of(task)
            )),
            false => None,
        }
    }

    /// Runs through the stages.
    fn sum(
        &mut self,
        members: &mut BTreeMap<ClientId, Member>,
        sent: &ParameterRecord,
        wait: &Wait,
    ) -> Result<Result<Sum, SecaggError>, FleetError> {
        let mut server = match self.setup(members, sent) {
            Ok(setup) => Server::new(setup, self.directory.clone()),
            Err(error) => return Ok(Err(error)),
        };
        let mut requests = server.start();
        loop {
            let stage = server.stage();
            let tasks: Vec<Task> = requests
                .into_iter()
                .filter_map(|(id, request)| Some(members.get(&id)?.ask(stage, &request)))
                .collect();
            for task in &tasks {
                let bytes = task.message.records.get(SECURE).map_or(0, |it| it.byte_len() as u64);
                *self.asked.entry(task.client.clone()).or_default() += bytes;
            }
            self.inner.exchange(tasks, wait, &mut |answer| {
                let id = number(&answer.client);
                if let Some(member) = members.get_mut(&id) {
                    member.hear(answer, id, stage, &mut server);
                }
            })?;
            let more = match stage {
                Stage::Opened => {
                    self.directory = server.directory().clone();
                    return Ok(server.finish());
                }
                _ => server.close(),
            };
            for id in server.odd() {
                let message = format!(
                    "{SECURE}: it trained on another model, plan or settings than most, and masks cancel among those \
                     with the same only"
                );
                let failure = Failure { reason: Reason::Refused, message };
                members.get_mut(&id).and_then(|it| it.failure.replace(failure));
            }
            requests = match more {
                Ok(requests) => requests,
                Err(error) => return Ok(Err(error)),
            };
        }
    }
}

impl Member {
    /// The task of a stage.
    fn ask(&self, stage: Stage, request: &Request) -> Task {
        let (kind, mut message) = match stage {
            Stage::Masked => (Kind::Train, self.task.message.clone()),
            _ => (Kind::Query(SECURE.to_owned()), Message::default()),
        };
        put(&mut message, request.to_bytes());
        Task { kind, message, ..self.task.clone() }
    }

    fn hear(&mut self, answer: Answer, id: ClientId, stage: Stage, server: &mut Server) {
        self.bytes += answer.bytes_up;
        self.seconds += answer.seconds;
        let refused = |message: String| Failure { reason: Reason::Refused, message };
        let result = answer.result.and_then(|mut message| {
            let bytes = take(&mut message)
                .ok_or_else(|| refused(format!("its reply has no record `{SECURE}`")))?;
            if stage == Stage::Masked {
                self.metrics = message.metrics;
            }
            let response = Response::from_bytes(&bytes);
            let heard = response.and_then(|response| server.receive(id, response));
            heard.map_err(|error| refused(format!("{SECURE}: {error}")))
        });
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
        }
    }

    /// The reply that the round loop gets for this client. `mean` is the mean of all, if the client is part of it.
    fn answer(self, mean: Option<&Arc<ParameterRecord>>, problem: &str) -> Answer {
        let Self { task, bytes, seconds, metrics, failure } = self;
        let result = match (mean, failure) {
            (Some(mean), _) => {
                let mut message = Message { metrics, ..Message::parameters(Arc::clone(mean)) };
                message.hide_measurements();
                Ok(message)
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => {
                Err(Failure { reason: Reason::Failed, message: format!("{SECURE}: {problem}") })
            }
        };
        Answer { bytes_up: bytes, seconds, ..Answer::new(&task, result) }
    }
}

/// The sent parameters plus the mean update.
fn moved(
    sent: &ParameterRecord,
    mean: &[f32],
    is_answered: &dyn Fn(&str) -> bool,
) -> Result<ParameterRecord, RecordError> {
    let mut record = ParameterRecord::new();
    let mut rest = mean;
    for (name, tensor) in eligible(sent).filter(|(name, _)| is_answered(name)) {
        let (own, after) = rest.split_at(tensor.len());
        rest = after;
        let values = tensor.to_f32().iter().zip(own).map(|(from, by)| from + by).collect();
        record.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
    }
    Ok(record)
}

impl<F: Fleet> Fleet for SecureFleet<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        let clients = self.inner.clients(round)?;
        let examples = clients.iter().map(|info| (info.id.clone(), info.num_examples as u64));
        self.examples.extend(examples);
        Ok(clients)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let (train, others): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| task.kind == Kind::Train);
        if !others.is_empty() {
            self.inner.exchange(others, wait, deliver)?;
        }
        // A sum that has begun is finished: clients that trained for it would train again from another state.
        let Some(first) = train.first().filter(|_| !wait.stop.is_raised()) else { return Ok(()) };
        let wait = &Wait { deadline: wait.deadline, stop: Stop::default() };
        self.asked.clear();
        let sent = first.message.get_parameters().cloned().unwrap_or_default();
        let (mut members, mut strangers) = (BTreeMap::new(), Vec::new());
        let (first, count) = (first.clone(), train.len());
        for task in train {
            let objection = self.objection(&task, &first, count);
            let (metrics, failure) = (Metrics::new(), None);
            let id = number(&task.client);
            let member = Member { task, bytes: 0, seconds: 0.0, metrics, failure };
            match objection {
                None => drop(members.insert(id, member)),
                Some(problem) => strangers.push((member, problem)),
            }
        }
        for (member, problem) in strangers {
            deliver(member.answer(None, &problem));
        }
        if members.is_empty() {
            return Ok(());
        }
        let sum = self.sum(&mut members, &sent, wait)?;
        let is_answered = &self.facts.is_answered;
        let mean = sum.and_then(|sum| {
            let mean = moved(&sent, &sum.mean()?, is_answered);
            let mean = mean.map_err(|error| SecaggError::setting("sum", error.to_string()))?;
            Ok((Arc::new(mean), sum.clients().to_vec()))
        });
        for (id, member) in members {
            let answer = match &mean {
                Ok((mean, clients)) => {
                    let mean = clients.contains(&id).then_some(mean);
                    member.answer(mean, "it dropped out on the way")
                }
                Err(error) => member.answer(None, &error.to_string()),
            };
            deliver(answer);
        }
        Ok(())
    }

    /// With the requests of the stages, of the last round.
    fn bytes_down(&mut self, task: &Task) -> u64 {
        let asked = self.asked.get(&task.client).filter(|_| task.kind == Kind::Train);
        self.inner.bytes_down(task) + asked.copied().unwrap_or(0)
    }

    fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
        self.inner.conclude(round, answers);
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.inner.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.inner.restore(committed)
    }
}
