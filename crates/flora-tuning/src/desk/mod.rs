//! Where a site answers what servers ask it, whatever carries the messages.
//!
//! flora's own server first asks what the site has, then sends it a [`Plan`], then tasks. Any other server of Flower's
//! sends tasks at once, with the experiment among their settings; see [`Stock`].

mod memory;
mod policy;
mod stock;

use std::path::PathBuf;
use std::time::Instant;

use flora_core::hex;
use flora_federation::protocol::{
    ATTEMPT, HELLO, HERE, JOIN, KIND, NUM_TEST_EXAMPLES, PLAN, PROFILE, ROUND, RUN, SECONDS,
    SERVER_ROUND, type_of,
};
use flora_federation::{
    Client, ClientInfo, Config, Kind, Message, NUM_EXAMPLES, PARAMETERS, Task, Value,
};
use sha2::{Digest, Sha256};

use self::memory::Memory;
pub use self::policy::Policy;
use self::stock::Stock;
use crate::{Experiment, Observer, Plan, Site, SiteClient};

/// The query of Flower's servers that is answered with the parameters to start from.
pub const INITIAL: &str = "initial";

/// What is to be answered.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the engine calls the run.
    pub run: String,
    /// What to do.
    pub kind: &'a Kind,
    /// What to do it with.
    pub message: &'a Message,
}

/// Answers what servers ask of a site, as far as its [`Policy`] allows.
pub struct Desk {
    site: Site,
    policy: Policy,
    /// What the site is called by servers that give it no name.
    name: String,
    /// What servers are answered that do not say what to train.
    experiment: Option<Experiment>,
    folder: PathBuf,
    observer: Box<dyn Observer>,
    current: Option<Current>,
}

/// The run that was asked for last.
struct Current {
    /// Plan and run, in short.
    digest: String,
    client: SiteClient,
    memory: Memory,
    rounds: usize,
}

impl Desk {
    /// The desk of `site`, which keeps what it must remember in `folder`.
    pub fn new(
        site: Site,
        name: impl Into<String>,
        folder: impl Into<PathBuf>,
        policy: Policy,
        observer: Box<dyn Observer>,
    ) -> Self {
        let (name, folder) = (name.into(), folder.into());
        Self { site, policy, name, experiment: None, folder, observer, current: None }
    }

    /// The same, with an experiment for servers that do not send one.
    #[must_use]
    pub fn with_experiment(self, experiment: Experiment) -> Self {
        Self { experiment: Some(experiment), ..self }
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Puts the model aside, until a task needs it again.
    pub fn rest(&mut self) {
        self.current = None;
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// Why not, for people at both ends.
    pub fn handle(&mut self, request: &Request<'_>) -> Result<Message, String> {
        match request.kind {
            Kind::Query(name) if name == HELLO => self.hello(),
            Kind::Query(name) if name == JOIN => self.join(request),
            Kind::Query(name) if name == HERE => Ok(Message::default()),
            _ if request.message.config.contains_key(RUN) => self.task(request),
            kind => {
                let is_known = !matches!(kind, Kind::Query(name) if name != INITIAL);
                if !is_known {
                    return Err(format!("this site does not know the task `{}`", type_of(kind)));
                }
                self.stock(request)
            }
        }
    }

    fn hello(&self) -> Result<Message, String> {
        let profile = self.site.profile().map_err(|error| error.to_string())?;
        let json = serde_json::to_string(&profile).expect("plain data");
        Ok(Message {
            config: Config::from([(PROFILE.to_owned(), Value::Text(json))]),
            ..Message::default()
        })
    }

    fn join(&mut self, request: &Request<'_>) -> Result<Message, String> {
        let text = text(&request.message.config, PLAN)?;
        let plan: Plan = serde_json::from_str(text).map_err(|error| {
            format!(
                "the server's plan cannot be read ({error}); do both run the same version of flora?"
            )
        })?;
        let token = text_of_token(&request.message.config)?;
        let info = self.begin(&token, &plan)?;
        let current = self.current.as_ref().expect("it has begun");
        current.memory.keep_plan(&plan)?;
        let number = |number: usize| number as f64;
        let metrics = [
            (NUM_EXAMPLES.to_owned(), number(info.num_examples)),
            (NUM_TEST_EXAMPLES.to_owned(), number(info.num_test_examples)),
        ];
        Ok(Message { metrics: metrics.into(), ..Message::default() })
    }

    /// Makes the client of this run, unless it is there.
    fn begin(&mut self, token: &str, plan: &Plan) -> Result<ClientInfo, String> {
        let json = serde_json::to_string(plan).expect("plain data");
        let digest = hex::encode(&Sha256::digest(format!("{token}\n{json}")));
        if let Some(current) = self.current.as_ref().filter(|current| current.digest == digest) {
            return Ok(current.client.info());
        }
        let (rounds, save_every) = self.policy.check(plan)?;
        let info = self.site.info(plan).map_err(|error| error.to_string())?;
        self.policy.check_examples(info.num_examples)?;
        // Never two models.
        self.current = None;
        let client = self.site.client(plan, &mut *self.observer);
        let client = client.map_err(|error| error.to_string())?;
        let memory = Memory::open(&self.folder, token, save_every)?;
        self.current = Some(Current { digest, client, memory, rounds });
        Ok(info)
    }

    /// A task of flora's server.
    fn task(&mut self, request: &Request<'_>) -> Result<Message, String> {
        self.policy.check_task(request.kind)?;
        let mut message = request.message.clone();
        let token = text_of_token(&message.config)?;
        let round = take_number(&mut message.config, ROUND)?;
        let attempt = take_number(&mut message.config, ATTEMPT)?;
        message.config.remove(RUN);
        message.config.remove(SERVER_ROUND);
        if self.current.as_ref().is_none_or(|current| !current.memory.is_of(&token)) {
            // It joined in an earlier process.
            let plan = Memory::plan(&self.folder, &token)?;
            self.begin(&token, &plan)?;
        }
        let mut answer = self.work(round, attempt, request.kind, message)?;
        self.policy.check_update(request.message, &answer)?;
        let number = |number: usize| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        answer.config.insert(ROUND.to_owned(), number(round));
        answer.config.insert(ATTEMPT.to_owned(), number(attempt));
        answer.config.insert(KIND.to_owned(), Value::Text(type_of(request.kind)));
        Ok(answer)
    }

    /// A task of another server.
    fn stock(&mut self, request: &Request<'_>) -> Result<Message, String> {
        let config = &request.message.config;
        let stock = Stock::read(config)?;
        let experiment = stock.experiment()?.or_else(|| self.experiment.clone()).ok_or_else(|| {
            "the server does not say what to train: give its ServerApp a setting `experiment` (see \
             examples/flower-stock), or start this node with --experiment"
                .to_owned()
        })?;
        let plan = stock.plan(&experiment, &self.site, &self.name)?;
        if !is_token(&request.run) {
            return Err(format!("the run's name {:?} is no token", request.run));
        }
        self.begin(&request.run, &plan)?;
        let current = self.current.as_ref().expect("it has begun");
        let initial = current.client.initial();
        if matches!(request.kind, Kind::Query(_)) {
            return Ok(Message::parameters(std::sync::Arc::new(initial.clone())));
        }
        let sent = request
            .message
            .expect_parameters(&self.name)
            .map_err(|error| format!("{error}; initial arrays come from the query `{INITIAL}`"))?;
        let mut message = request.message.clone();
        let parameters = stock::as_initial(sent, initial)?;
        message.records.insert(PARAMETERS.to_owned(), std::sync::Arc::new(parameters));
        let answer = self.work(stock.round, 0, request.kind, message)?;
        let answer = stock.answer(request.kind, sent, answer)?;
        self.policy.check_update(request.message, &answer)?;
        Ok(answer)
    }

    /// Lets the client do a task, from what it remembered before that round.
    fn work(
        &mut self,
        round: usize,
        attempt: usize,
        kind: &Kind,
        message: Message,
    ) -> Result<Message, String> {
        let current = self.current.as_mut().expect("it has begun");
        let Current { client, memory, rounds, .. } = current;
        if *kind == Kind::Train {
            self.policy.check_round(round, *rounds)?;
        }
        let remembers = *kind != Kind::Evaluate || client.needs_state(kind);
        if remembers {
            memory.before(round, attempt, client)?;
        }
        let task = Task { client: client.info().id, round, attempt, kind: kind.clone(), message };
        let started = Instant::now();
        let answer = client.handle(&task).map_err(|error| error.message);
        if *kind == Kind::Train {
            // Of a training that failed, too: what it left is what the next one begins with.
            memory.after(round, attempt, client)?;
        }
        let mut answer = answer?;
        let seconds = started.elapsed().as_secs_f64();
        answer.config.insert(SECONDS.to_owned(), Value::Float(seconds));
        Ok(answer)
    }
}

fn text<'a>(config: &'a Config, key: &str) -> Result<&'a str, String> {
    match config.get(key) {
        Some(Value::Text(text)) => Ok(text),
        Some(_) => Err(format!("the server's setting `{key}` is not text")),
        None => Err(lacks(key)),
    }
}

/// A run's token becomes a folder's name.
fn text_of_token(config: &Config) -> Result<String, String> {
    let token = text(config, RUN)?;
    match is_token(token) {
        true => Ok(token.to_owned()),
        false => Err(format!("the server's setting `{RUN}` is no token")),
    }
}

fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
}

fn take_number(config: &mut Config, key: &str) -> Result<usize, String> {
    let number = config.remove(key).ok_or_else(|| lacks(key))?;
    match number {
        Value::Int(number) if number >= 0 => Ok(number as usize),
        _ => Err(format!("the server's setting `{key}` is not 0 or a positive whole number")),
    }
}

fn lacks(key: &str) -> String {
    format!("the server's message has no setting `{key}`")
}
