//! Exchange of the round loop's tasks with the sites.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flora_federation::protocol::{
    AGAIN, ATTEMPT, FROM, HERE, KIND, NOT_JOINED, ROUND, RUN, SECONDS, SERVER_ROUND, type_of,
};
use flora_federation::{Answer, Config, Failure, Kind, Message, Reason, Task, Value, Wait};

use super::event::SiteEvent;
use super::exchange::{Incoming, Outgoing, Said, take_number};
use super::fleet::{GRACE, LAST_LOOK, SuperLinkFleet};
use super::members::{Stage, Watched, named};
use crate::ServerError;

/// The first pause between two polls for replies.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// At most one part in this many of the time is spent polling, but the pause never exceeds
/// [`LAST_LOOK`](super::fleet::LAST_LOOK).
const SHARE: u32 = 4;
const SLOWEST: Duration = Duration::from_secs(5);

/// How often a task is sent at most.
const SENDINGS: usize = 5;

/// A task that was sent.
struct Open {
    task: Task,
    sendings: usize,
    watched: Watched,
}

/// The unanswered tasks of an exchange.
#[derive(Default)]
struct Tasks {
    /// The tasks to send, and how often they were sent.
    unsent: Vec<(Task, usize)>,
    /// The tasks that were sent, by message.
    open: BTreeMap<String, Open>,
}

impl Tasks {
    fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.open.is_empty()
    }
}

impl SuperLinkFleet {
    pub(super) fn exchange_all(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), ServerError> {
        self.grace = wait.deadline.map_or(GRACE, |deadline| deadline.min(GRACE));
        let started = Instant::now();
        let unsent = tasks.into_iter().map(|task| (task, 0)).collect();
        let mut tasks = Tasks { unsent, ..Tasks::default() };
        let mut announced = Vec::new();
        let (mut look, mut last_look) = (FIRST_LOOK, Instant::now());
        while !tasks.is_empty() {
            let left = wait.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()));
            if left == Some(Duration::ZERO) || wait.stop.is_raised() {
                break;
            }
            self.send_tasks(&mut tasks, left, deliver)?;
            self.probe(&mut tasks)?;
            let asked = Instant::now();
            let ids = tasks.open.values().flat_map(|open| open.watched.ids()).collect();
            let answers = self.run.receive(ids, &mut announced)?;
            self.tell_outages();
            look = if answers.is_empty() { (look * 2).min(LAST_LOOK) } else { FIRST_LOOK };
            for incoming in answers {
                self.hear_task(incoming, &mut tasks, deliver);
            }
            let is_lost = |open: &Open| {
                let message = &open.watched.message;
                open.watched.is_lost() && announced.iter().all(|answer| !answer.is_to(message))
            };
            let lost = tasks.open.extract_if(.., |_, open| is_lost(open)).map(|(_, open)| open);
            for Open { task, sendings, .. } in lost.collect::<Vec<_>>() {
                self.again(task, sendings, "it never got the task", &mut tasks.unsent, deliver);
            }
            if self.run.is_over() {
                return Err(ServerError::Over);
            }
            if !tasks.unsent.is_empty() && last_look.elapsed() > LAST_LOOK {
                last_look = Instant::now();
                self.look()?;
            }
            if !tasks.is_empty() {
                let pause = look.max((asked.elapsed() * (SHARE - 1)).min(SLOWEST));
                self.run.service().link().sleep(left.map_or(pause, |left| left.min(pause)));
            }
        }
        // Late sites are not waited for, and late replies are dropped.
        Ok(())
    }

    /// Handles a reply to a task, or to the question whether it arrived.
    fn hear_task(
        &mut self,
        Incoming { asked, result, bytes }: Incoming,
        tasks: &mut Tasks,
        deliver: &mut dyn FnMut(Answer),
    ) {
        let is_lost = result.as_ref().is_err_and(Said::is_lost);
        let Some(Open { task, sendings, .. }) = tasks.open.remove(&asked) else {
            for open in tasks.open.values_mut() {
                open.watched.hear(&asked, is_lost);
            }
            return;
        };
        match result {
            Ok(mut message) => {
                if message.config.remove(AGAIN).is_some() {
                    (self.tell)(&SiteEvent::Restarted { name: task.client.clone() });
                }
                self.check_memory(&task, message.config.remove(FROM));
                deliver(answer(&task, message, bytes));
            }
            Err(said) if is_lost => {
                self.again(task, sendings, &said.reason, &mut tasks.unsent, deliver);
            }
            Err(Said { reason, .. }) => {
                if reason.starts_with(NOT_JOINED) {
                    // It lost its state. Before the next round it receives the plan again.
                    if let Some(member) = named(&mut self.members, &task.client) {
                        member.stage = Stage::New;
                    }
                }
                deliver(Answer::failed(&task, Reason::Failed, reason));
            }
        }
    }

    /// Checks whether a client trained from the state that it had stored. A client that was late in an earlier round
    /// may have trained since its last reply, but not the reverse.
    fn check_memory(&mut self, task: &Task, from: Option<Value>) {
        if task.kind != Kind::Train {
            return;
        }
        let trained = self.trained.insert(task.client.clone(), (task.round, task.attempt));
        let Some(Value::Text(from)) = from else { return };
        let from = from.split_once('-').and_then(|(round, attempt)| {
            Some((round.parse::<usize>().ok()?, attempt.parse::<usize>().ok()?))
        });
        if from < trained.filter(|&trained| trained < (task.round, task.attempt)) {
            (self.tell)(&SiteEvent::Forgot { name: task.client.clone() });
        }
    }

    /// Resends a task that was lost in either direction. Repeating a task gives the same reply.
    fn again(
        &mut self,
        task: Task,
        sendings: usize,
        problem: &str,
        unsent: &mut Vec<(Task, usize)>,
        deliver: &mut dyn FnMut(Answer),
    ) {
        let member = named(&mut self.members, &task.client);
        if sendings >= SENDINGS || member.is_none_or(|member| member.is_given_up(self.grace)) {
            deliver(Answer::failed(&task, Reason::Failed, problem));
            return;
        }
        let name = task.client.clone();
        (self.tell)(&SiteEvent::Again { name, problem: problem.to_owned() });
        unsent.push((task, sendings));
    }

    /// Sends the tasks of the online sites. Sites that are offline are waited for up to the grace period.
    fn send_tasks(
        &mut self,
        tasks: &mut Tasks,
        left: Option<Duration>,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), ServerError> {
        let mut ready = Vec::new();
        let mut later = Vec::new();
        for (task, sendings) in tasks.unsent.drain(..) {
            let member = named(&mut self.members, &task.client);
            match member.filter(|member| member.joined().is_some()) {
                Some(member) if member.away.is_none() => {
                    ready.push((task, sendings, member.node_id));
                }
                Some(member) => match member.is_given_up(self.grace) {
                    false => later.push((task, sendings)),
                    true => deliver(Answer::failed(&task, Reason::Failed, "the site is offline")),
                },
                None => deliver(Answer::failed(&task, Reason::Failed, "it takes no part")),
            }
        }
        let outgoing: Vec<Outgoing<'_>> = ready
            .iter()
            .map(|(task, _, node_id)| Outgoing {
                node_id: *node_id,
                kind: type_of(&task.kind),
                message: &task.message,
                config: self.labels(task),
                // A SuperLink refuses a message that expires on arrival.
                ttl: left.map(|left| left.as_secs_f64().max(1.0)),
            })
            .collect();
        let ids = self.run.send(&outgoing)?;
        for ((task, sendings, _), id) in ready.into_iter().zip(ids) {
            if id.is_empty() {
                later.push((task, sendings));
                continue;
            }
            let watched = Watched::new(id.clone());
            tasks.open.insert(id, Open { task, sendings: sendings + 1, watched });
        }
        tasks.unsent = later;
        Ok(())
    }

    /// Sends sites with overdue replies a question that they answer after the task.
    fn probe(&self, tasks: &mut Tasks) -> Result<(), ServerError> {
        for open in tasks.open.values_mut().filter(|open| open.watched.is_due()) {
            let mut members = self.members.values();
            let Some(member) = members.find(|member| member.name == open.task.client) else {
                continue;
            };
            let nothing = Message::default();
            let asked = self.run.question(&self.token, member.node_id, HERE, &nothing)?;
            if let Some(id) = asked {
                open.watched.probe(id);
            }
        }
        Ok(())
    }

    /// The description of a task, for the site and for its reply. It is the same for all sites, so that the SuperLink
    /// stores one content for all of them.
    fn labels(&self, task: &Task) -> Config {
        let number = |number: usize| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        Config::from([
            (SERVER_ROUND.to_owned(), number(task.round + 1)),
            (ROUND.to_owned(), number(task.round)),
            (ATTEMPT.to_owned(), number(task.attempt)),
            (RUN.to_owned(), Value::Text(self.token.clone())),
        ])
    }
}

/// A reply with the site's labels. The round loop validates it.
fn answer(task: &Task, mut message: Message, bytes_up: u64) -> Answer {
    let config = &mut message.config;
    let round = take_number(config, ROUND);
    let attempt = take_number(config, ATTEMPT);
    let kind = match config.remove(KIND) {
        Some(Value::Text(kind)) if kind == type_of(&task.kind) => task.kind.clone(),
        other => Kind::Query(format!("{other:?}")),
    };
    let seconds = match config.remove(SECONDS) {
        Some(Value::Float(seconds)) if seconds >= 0.0 => seconds,
        _ => 0.0,
    };
    config.remove(RUN);
    config.remove(SERVER_ROUND);
    let answer = Answer::new(task, Ok(message));
    match (round, attempt) {
        (Some(round), Some(attempt)) => {
            Answer { round, attempt, kind, bytes_up, seconds, ..answer }
        }
        _ => Answer {
            result: Err(Failure {
                reason: Reason::Refused,
                message: "it does not say which round it replies to; is it a flora node?"
                    .to_owned(),
            }),
            bytes_up,
            ..answer
        },
    }
}
