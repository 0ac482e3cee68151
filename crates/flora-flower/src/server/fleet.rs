use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flora_federation::protocol::{
    AGAIN, ATTEMPT, HELLO, JOIN, KIND, NUM_TEST_EXAMPLES, ROUND, RUN, SECONDS, SERVER_ROUND,
};
use flora_federation::{
    Answer, ClientInfo, Config, Failure, Fleet, FleetError, Kind, Message, Reason, Stop, Task,
    Value, Wait,
};

use super::exchange::{Announced, Incoming, Outgoing, Said, take_number};
use super::members::{Member, Members, Question, Stage};
use super::run::ServerRun;
use crate::{Names, Outage, PublicKey, ServerError};

/// What becomes of the sites, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteEvent {
    /// A site is online that was not.
    Online {
        /// What it is called.
        name: String,
        /// The fingerprint of its key.
        key: String,
    },
    /// It takes part.
    Joined(ClientInfo),
    /// It does not take part.
    Refused {
        /// What it is called.
        name: String,
        /// Why.
        problem: String,
    },
    /// It is offline.
    Away {
        /// What it is called.
        name: String,
    },
    /// It is online again.
    Back {
        /// What it is called.
        name: String,
    },
    /// A task is sent once more, because it or its answer was lost.
    Again {
        /// For whom.
        name: String,
        /// What was lost.
        problem: String,
    },
    /// It was restarted before it had answered a task, and has done the task anew.
    Restarted {
        /// What it is called.
        name: String,
    },
    /// The SuperLink did not answer, and does again.
    SuperLinkBack {
        /// What happened.
        problem: String,
        /// For how many seconds.
        seconds: u64,
    },
}

/// The sites of a run on a SuperLink, as the fleet of a round loop. Sites are known by their keys; nodes come and go.
pub struct SuperLinkFleet {
    run: Arc<ServerRun>,
    /// The run, for sites that take it up again after either end was restarted.
    token: String,
    names: Option<Names>,
    members: Members,
    plan: Box<dyn Fn(&str) -> Message + Send>,
    /// Answers to questions.
    announced: Vec<Announced>,
    stop: Stop,
    /// For how long a site that is gone is waited for.
    grace: Duration,
    tell: Box<dyn FnMut(&SiteEvent) + Send>,
}

/// How long a site may be away before a round goes on without it, and how long a task is worth sending again. Nodes
/// that a SuperLink lost as it was restarted come back with their next heartbeat.
///
/// A link that is cut for a minute is noticed up to two heartbeats late, and the node needs 10 s or more to find that
/// it is back: with 60 s the run went on without it. Where rounds have a deadline, nobody is waited for longer.
const GRACE: Duration = Duration::from_secs(120);

/// Between two looks for answers, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_millis(500);
/// No more of the time than one part in so many is spent in asking.
const SHARE: u32 = 4;

/// As often as this, a task is sent again.
const SENDINGS: usize = 5;

impl SuperLinkFleet {
    /// The sites that are online in `run`; those that `names` knows, if there are names. `token` names the run across
    /// restarts of server and sites.
    pub fn new(
        run: Arc<ServerRun>,
        token: impl Into<String>,
        names: Option<Names>,
        stop: Stop,
        tell: Box<dyn FnMut(&SiteEvent) + Send>,
    ) -> Self {
        Self {
            run,
            token: token.into(),
            names,
            members: Members::new(),
            plan: Box::new(|_| Message::default()),
            announced: Vec::new(),
            stop,
            grace: GRACE,
            tell,
        }
    }

    /// Waits until `sites` sites have said what they have, and gives what they said, by their names.
    ///
    /// # Errors
    /// The SuperLink fails, or the run is to stop.
    pub fn profiles(&mut self, sites: usize) -> Result<BTreeMap<String, Message>, ServerError> {
        let mut profiles = BTreeMap::new();
        self.gather(Question::Hello, sites, &mut |name, message| {
            profiles.insert(name.to_owned(), message);
            Ok(Stage::Profiled)
        })?;
        Ok(profiles)
    }

    /// Sends the sites what the run is to do, `plan` by a site's name, and waits until `sites` have joined. Sites that
    /// come later are sent the same.
    ///
    /// # Errors
    /// The SuperLink fails, or the run is to stop.
    pub fn join(
        &mut self,
        sites: usize,
        plan: impl Fn(&str) -> Message + Send + 'static,
    ) -> Result<Vec<ClientInfo>, ServerError> {
        self.plan = Box::new(plan);
        self.gather(Question::Join, sites, &mut joined)?;
        Ok(self.members.values().filter_map(Member::joined).cloned().collect())
    }

    /// Asks everybody, and waits for as many answers as `sites`.
    fn gather(
        &mut self,
        question: Question,
        sites: usize,
        on_answer: &mut dyn FnMut(&str, Message) -> Result<Stage, String>,
    ) -> Result<(), ServerError> {
        let is_done = |member: &Member| match question {
            Question::Hello => {
                !matches!(member.stage, Stage::New | Stage::Asked { .. } | Stage::Out(_))
            }
            Question::Join => member.joined().is_some(),
        };
        loop {
            self.look(false)?;
            self.ask(question)?;
            self.hear(on_answer)?;
            if self.members.values().filter(|member| is_done(member)).count() >= sites {
                return Ok(());
            }
            self.check_running()?;
            self.run.service().link().sleep(LAST_LOOK);
        }
    }

    fn check_running(&self) -> Result<(), ServerError> {
        if self.stop.is_raised() {
            let url = self.run.service().link().url().to_owned();
            return Err(crate::LinkError::Stopped { url }.into());
        }
        if self.run.is_over() { Err(ServerError::Over) } else { Ok(()) }
    }

    /// Tells when the SuperLink did not answer.
    fn tell_outages(&mut self) {
        for Outage { problem, seconds } in self.run.service().link().take_outages() {
            (self.tell)(&SiteEvent::SuperLinkBack { problem, seconds: seconds.ceil() as u64 });
        }
    }

    /// Who is online now.
    fn look(&mut self, quietly: bool) -> Result<(), ServerError> {
        let mut online = BTreeMap::new();
        let nodes = self.run.service().nodes()?;
        self.tell_outages();
        for node in nodes {
            if let Ok(key) = PublicKey::from_pem(&node.public_key)
                && node.status == ONLINE
            {
                online.insert(key, node.node_id);
            }
        }
        for (key, &node_id) in &online {
            match self.members.get_mut(key) {
                Some(member) => {
                    member.node_id = node_id;
                    member.given_up = false;
                    if member.away.take().is_some() && !quietly {
                        (self.tell)(&SiteEvent::Back { name: member.name.clone() });
                    }
                }
                None => {
                    let member = self.stranger(key, node_id);
                    self.members.insert(key.clone(), member);
                }
            }
        }
        for (key, member) in &mut self.members {
            if !online.contains_key(key) && member.away.is_none() {
                member.away = Some(Instant::now());
                (self.tell)(&SiteEvent::Away { name: member.name.clone() });
                // What it was asked may have been lost with it.
                if let Stage::Asked { .. } = member.stage {
                    member.stage = Stage::New;
                }
            }
        }
        Ok(())
    }

    fn stranger(&mut self, key: &PublicKey, node_id: u64) -> Member {
        let fingerprint = key.fingerprint();
        let name = match &self.names {
            None => Some(format!("site-{}", key.short_id())),
            Some(names) => names.name(key).map(str::to_owned),
        };
        match name {
            Some(name) => {
                (self.tell)(&SiteEvent::Online { name: name.clone(), key: fingerprint });
                Member::new(name, node_id)
            }
            None => {
                let problem = "its key is not in the file of names".to_owned();
                let name = format!("the node with key {fingerprint}");
                (self.tell)(&SiteEvent::Refused { name: name.clone(), problem: problem.clone() });
                Member { stage: Stage::Out(problem), ..Member::new(name, node_id) }
            }
        }
    }

    /// Asks those who are to be asked.
    fn ask(&mut self, what: Question) -> Result<(), ServerError> {
        let is_next = |member: &Member| match what {
            Question::Hello => member.stage == Stage::New,
            Question::Join => matches!(member.stage, Stage::New | Stage::Profiled),
        };
        let hello = Message::default();
        for member in self.members.values_mut().filter(|it| it.away.is_none() && is_next(it)) {
            let (kind, message) = match what {
                Question::Hello => (HELLO, hello.clone()),
                Question::Join => (JOIN, (self.plan)(&member.name)),
            };
            let config = Config::from([(RUN.to_owned(), Value::Text(self.token.clone()))]);
            let kind = format!("query.{kind}");
            let outgoing =
                Outgoing { node_id: member.node_id, kind, message: &message, config, ttl: None };
            let ids = self.run.send(&[outgoing])?;
            if let Some(message) = ids.into_iter().next().filter(|id| !id.is_empty()) {
                member.stage = Stage::Asked { message, what };
            }
        }
        Ok(())
    }

    /// Hears those who were asked.
    fn hear(
        &mut self,
        on_answer: &mut dyn FnMut(&str, Message) -> Result<Stage, String>,
    ) -> Result<(), ServerError> {
        let ids = self.members.values().filter_map(|member| match &member.stage {
            Stage::Asked { message, .. } => Some(message.clone()),
            _ => None,
        });
        let ids: Vec<String> = ids.collect();
        for Incoming { asked, result, .. } in self.run.receive(ids, &mut self.announced)? {
            let is_asked = |member: &&mut Member| matches!(&member.stage, Stage::Asked { message, .. } if *message == asked);
            let Some(member) = self.members.values_mut().find(is_asked) else { continue };
            let stage = match result {
                Ok(message) => on_answer(&member.name, message),
                Err(said) if said.is_lost() => Ok(Stage::New),
                Err(said) => Err(said.reason),
            };
            member.stage = stage.unwrap_or_else(Stage::Out);
            match &member.stage {
                Stage::Joined(info) => {
                    // The server's name counts.
                    let info = ClientInfo { id: member.name.clone(), ..info.clone() };
                    (self.tell)(&SiteEvent::Joined(info.clone()));
                    member.stage = Stage::Joined(info);
                }
                Stage::Out(problem) => {
                    let (name, problem) = (member.name.clone(), problem.clone());
                    (self.tell)(&SiteEvent::Refused { name, problem });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for sites that have just gone: until they are back, or [`GRACE`] is over.
    fn wait_for_the_lost(&mut self) -> Result<(), ServerError> {
        let grace = self.grace;
        loop {
            let mut waits = false;
            for member in self.members.values_mut().filter(|member| member.joined().is_some()) {
                if let Some(away) = member.away.filter(|_| !member.given_up) {
                    member.given_up = away.elapsed() > grace;
                    waits |= !member.given_up;
                }
            }
            if !waits {
                return Ok(());
            }
            self.check_running()?;
            self.run.service().link().sleep(LAST_LOOK);
            self.look(false)?;
        }
    }

    fn present(&mut self) -> Result<Vec<ClientInfo>, ServerError> {
        self.check_running()?;
        self.look(false)?;
        self.wait_for_the_lost()?;
        self.ask(Question::Join)?;
        self.hear(&mut joined)?;
        let here = self.members.values().filter(|member| member.away.is_none());
        Ok(here.filter_map(Member::joined).cloned().collect())
    }

    fn node_of(&self, client: &str) -> Option<(u64, bool)> {
        let mut members = self.members.values();
        let member = members.find(|member| member.name == client && member.joined().is_some())?;
        Some((member.node_id, member.away.is_none()))
    }

    fn exchange_all(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), ServerError> {
        self.grace = wait.deadline.map_or(GRACE, |deadline| deadline.min(GRACE));
        let started = Instant::now();
        let mut open: BTreeMap<String, Open> = BTreeMap::new();
        let mut unsent: Vec<(Task, usize)> = tasks.into_iter().map(|task| (task, 0)).collect();
        let mut announced = Vec::new();
        let mut look = FIRST_LOOK;
        let mut last_look = Instant::now();
        while !(unsent.is_empty() && open.is_empty()) {
            let left = wait.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()));
            if left == Some(Duration::ZERO) || wait.stop.is_raised() {
                break;
            }
            self.send_tasks(&mut unsent, &mut open, left, deliver)?;
            let asked = Instant::now();
            let ids = open.keys().cloned().collect();
            let answers = self.run.receive(ids, &mut announced)?;
            self.tell_outages();
            look = if answers.is_empty() { (look * 2).min(LAST_LOOK) } else { FIRST_LOOK };
            for Incoming { asked, result, bytes } in answers {
                let Some(Open { task, sendings }) = open.remove(&asked) else { continue };
                match result {
                    Ok(mut message) => {
                        if message.config.remove(AGAIN).is_some() {
                            (self.tell)(&SiteEvent::Restarted { name: task.client.clone() });
                        }
                        deliver(answer(&task, message, bytes));
                    }
                    Err(said)
                        if said.is_lost() && sendings < SENDINGS && self.may_return(&task) =>
                    {
                        let (name, problem) = (task.client.clone(), said.reason);
                        (self.tell)(&SiteEvent::Again { name, problem });
                        unsent.push((task, sendings));
                    }
                    Err(Said { reason, .. }) => {
                        deliver(Answer::failed(&task, Reason::Failed, reason));
                    }
                }
            }
            self.check_over()?;
            if !unsent.is_empty() && last_look.elapsed() > LAST_LOOK {
                last_look = Instant::now();
                self.look(false)?;
            }
            if !(unsent.is_empty() && open.is_empty()) {
                let pause = look.max(asked.elapsed() / SHARE);
                self.run.service().link().sleep(left.map_or(pause, |left| left.min(pause)));
            }
        }
        // Whoever is late is not waited for, and a late answer is nobody's.
        Ok(())
    }

    fn check_over(&self) -> Result<(), ServerError> {
        if self.run.is_over() { Err(ServerError::Over) } else { Ok(()) }
    }

    fn may_return(&self, task: &Task) -> bool {
        let member = self.members.values().find(|member| member.name == task.client);
        member.is_some_and(|member| !member.given_up)
    }

    /// Sends the tasks of those who are online. Who is not is waited for, for a while.
    fn send_tasks(
        &mut self,
        unsent: &mut Vec<(Task, usize)>,
        open: &mut BTreeMap<String, Open>,
        left: Option<Duration>,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), ServerError> {
        let mut ready = Vec::new();
        let mut later = Vec::new();
        for (task, sendings) in unsent.drain(..) {
            match self.node_of(&task.client) {
                Some((node_id, true)) => ready.push((task, sendings, node_id)),
                Some((_, false)) if !self.is_given_up(&task.client) => later.push((task, sendings)),
                _ => deliver(Answer::failed(&task, Reason::Failed, "the site is offline")),
            }
        }
        let outgoing: Vec<Outgoing<'_>> = ready
            .iter()
            .map(|(task, _, node_id)| Outgoing {
                node_id: *node_id,
                kind: type_of(&task.kind),
                message: &task.message,
                config: self.labels(task),
                ttl: left.map(|left| left.as_secs_f64()),
            })
            .collect();
        let ids = self.run.send(&outgoing)?;
        for ((task, sendings, _), id) in ready.into_iter().zip(ids) {
            match id.is_empty() {
                true => later.push((task, sendings)),
                false => drop(open.insert(id, Open { task, sendings: sendings + 1 })),
            }
        }
        *unsent = later;
        Ok(())
    }

    /// Whether a site has been away for too long.
    fn is_given_up(&mut self, client: &str) -> bool {
        let grace = self.grace;
        let member = self.members.values_mut().find(|member| member.name == client);
        member.is_none_or(|member| {
            member.given_up |= member.away.is_some_and(|away| away.elapsed() > grace);
            member.given_up
        })
    }

    /// What a task is, for the site and for its answer. The same for all sites, so that the SuperLink keeps one
    /// content for all of them.
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

/// A task that was sent.
struct Open {
    task: Task,
    sendings: usize,
}

/// Flower's word for a node that can be reached.
const ONLINE: &str = "online";

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Train => "train".to_owned(),
        Kind::Evaluate => "evaluate".to_owned(),
        Kind::Query(name) => format!("query.{name}"),
    }
}

/// A site says how much it has.
fn joined(name: &str, message: Message) -> Result<Stage, String> {
    let num_test_examples = message.metrics.get(NUM_TEST_EXAMPLES).copied();
    let is_count = |number: &f64| *number >= 0.0 && number.fract() == 0.0 && *number < 1e15;
    let num_test_examples = num_test_examples.filter(is_count);
    match (message.num_examples(), num_test_examples) {
        (Some(num_examples), Some(test)) => Ok(Stage::Joined(ClientInfo {
            id: name.to_owned(),
            num_examples,
            num_test_examples: test as usize,
        })),
        _ => Err("it does not say how many images it has; is it a flora node?".to_owned()),
    }
}

/// An answer as the site labelled it. What is wrong with it is the round loop's to find.
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
                message: "it does not say which round it answers; is it a flora node?".to_owned(),
            }),
            bytes_up,
            ..answer
        },
    }
}

impl Fleet for SuperLinkFleet {
    fn clients(&mut self, _round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.present().map_err(unreachable)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        self.exchange_all(tasks, wait, deliver).map_err(unreachable)
    }

    /// Sites remember by themselves, and go back by themselves to what they were before a round that is tried again.
    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _committed: &[u8]) -> Result<(), FleetError> {
        Ok(())
    }
}

fn unreachable(error: ServerError) -> FleetError {
    FleetError::Unreachable(error.to_string())
}
