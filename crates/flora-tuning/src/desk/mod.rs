//! Replies of a site to servers, independent of the transport.
//!
//! flora's own server first queries the site's profile, then sends a [`Plan`], then tasks. Other servers of Flower send
//! tasks at once, with the experiment in their settings; see [`Stock`].

mod ledger;
mod memory;
mod policy;
mod stock;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use flora_core::hex;
use flora_federation::protocol::{
    ATTEMPT, FROM, HELLO, HERE, JOIN, KIND, NUM_TEST_EXAMPLES, PLAN, PROFILE, ROUND, RUN, SECONDS,
    SERVER_ROUND, type_of,
};
use flora_federation::{
    Client, ClientInfo, Config, Event, Kind, Message, NUM_EXAMPLES, PARAMETERS, Task, Value,
};
use flora_privacy::{ANSWERS, RELEASE};
use flora_secagg::{SECURE, begins_round};
use sha2::{Digest, Sha256};

use self::ledger::Ledger;
use self::memory::Memory;
pub use self::policy::Policy;
use self::stock::Stock;
use crate::prepare::Masking;
use crate::site::MOST_ATTEMPTS;
use crate::travel::Noise;
use crate::{Experiment, Observer, Plan, Site, SiteClient, TuningError};

/// The query of Flower's servers for the initial parameters.
pub const INITIAL: &str = "initial";

/// A request to answer.
#[derive(Debug)]
pub struct Request<'a> {
    /// The engine's name for the run.
    pub run: String,
    /// The kind of task.
    pub kind: &'a Kind,
    /// The message of the task.
    pub message: &'a Message,
}

/// Answers servers on behalf of a site, within its [`Policy`].
pub struct Desk {
    site: Site,
    policy: Policy,
    /// The site's name for servers that give it none.
    name: String,
    /// The experiment for servers that send none.
    experiment: Option<Experiment>,
    folder: PathBuf,
    observer: Box<dyn Observer>,
    current: Option<Current>,
}

/// The run of the last request.
struct Current {
    /// A digest of plan and run.
    digest: String,
    client: SiteClient,
    memory: Memory,
    /// Present if the site hides its images.
    ledger: Option<Ledger>,
    rounds: usize,
}

impl Desk {
    /// The desk of `site`, which stores its files in `folder`.
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

    /// Sets an experiment for servers that send none.
    #[must_use]
    pub fn with_experiment(self, experiment: Experiment) -> Self {
        Self { experiment: Some(experiment), ..self }
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Drops the model from memory until a task needs it again.
    pub fn rest(&mut self) {
        self.current = None;
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// The reason, for people at both ends.
    pub fn handle(&mut self, request: &Request<'_>) -> Result<Message, String> {
        self.answer(request).map_err(|problem| self.without_files(problem))
    }

    /// Removes file names from a problem before it leaves, because they can be names of patients. The site's operator
    /// sees the full text.
    fn without_files(&mut self, problem: String) -> String {
        if !problem.contains(['/', '\\']) {
            return problem;
        }
        self.observer.event(&Event::Warning { message: problem });
        "a problem with its images, its model or its state folder; see the site's log".to_owned()
    }

    fn answer(&mut self, request: &Request<'_>) -> Result<Message, String> {
        match request.kind {
            Kind::Query(name) if name == HELLO => self.hello(),
            Kind::Query(name) if name == JOIN => self.join(request),
            Kind::Query(name) if name == HERE => Ok(Message::default()),
            _ if request.message.config.contains_key(RUN) => self.task(request),
            Kind::Query(name) if name != INITIAL => {
                Err(format!("this site does not support the task `{}`", type_of(request.kind)))
            }
            _ => self.stock(request),
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

    /// Creates the client of this run, unless it exists.
    fn begin(&mut self, token: &str, plan: &Plan) -> Result<ClientInfo, String> {
        let json = serde_json::to_string(plan).expect("plain data");
        let digest = hex::encode(&Sha256::digest(format!("{token}\n{json}")));
        if let Some(current) = self.current.as_ref().filter(|current| current.digest == digest) {
            return Ok(current.client.info());
        }
        let (rounds, save_every) = self.policy.check(plan)?;
        let info = self.site.info(plan).map_err(|error| match error {
            // Without the name of the image.
            TuningError::Data(flora_data::Error::UnknownClass { class, .. }) => format!(
                "it has images of the class {class:?}, which the run does not have; name them as the other sites \
                 do, or \
                 leave them out"
            ),
            error => error.to_string(),
        })?;
        self.policy.check_examples(info.num_examples)?;
        // Never two models at once.
        self.current = None;
        let memory = Memory::open(&self.folder, token, save_every)?;
        let identity = ledger::identity(memory.folder())?;
        let (ledger, noise) = match ledger::covered(plan, info.num_examples)? {
            None => (None, Noise::Fresh),
            Some(covered) => {
                let (ledger, secret) = Ledger::open(memory.folder(), &covered)?;
                (Some(ledger), Noise::Secret(secret))
            }
        };
        let masking = Masking {
            policy: self.policy.masks(),
            identity: Some(identity),
            is_restored: true,
            ..Masking::default()
        };
        let client = self.site.client_with(plan, &noise, masking, &mut *self.observer);
        let client = client.map_err(|error| error.to_string())?;
        self.current = Some(Current { digest, client, memory, ledger, rounds });
        Ok(info)
    }

    /// A task of flora's server.
    fn task(&mut self, request: &Request<'_>) -> Result<Message, String> {
        self.policy.check_task(request.kind)?;
        let mut message = request.message.clone();
        let token = text_of_token(&message.config)?;
        let round = take_number(&mut message.config, ROUND)?;
        let attempt = take_number(&mut message.config, ATTEMPT)?;
        if attempt > MOST_ATTEMPTS {
            return Err(format!(
                "the server's setting `{ATTEMPT}` is {attempt}, and a site repeats a round {MOST_ATTEMPTS} times \
                 at most"
            ));
        }
        message.config.remove(RUN);
        message.config.remove(SERVER_ROUND);
        if self.current.as_ref().is_none_or(|current| !current.memory.is_of(&token)) {
            // The site joined in an earlier process.
            let plan = Memory::plan(&self.folder, &token)?;
            self.begin(&token, &plan)?;
        }
        let task = self.asked(round, attempt, request.kind, message);
        let mut answer = self.work(&task)?;
        if self.policy.bounds_updates() {
            let client = &self.current.as_ref().ok_or("the site has to join again")?.client;
            let (sent, read) = client.as_read(&task, answer.clone())?;
            self.policy.check_update(&sent, &read)?;
        }
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
            "the server's message contains no experiment: give its ServerApp a setting `experiment` (see \
             the example flower-stock), or start this node with --experiment"
                .to_owned()
        })?;
        let plan = stock.plan(&experiment, &self.site, &self.name)?;
        if !is_token(&request.run) {
            return Err(format!("the run's name {:?} is not a valid token", request.run));
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
        // Servers of Flower's older interface send arrays without names, and expect the same.
        let named = stock::named(sent, initial)?;
        let sent = named.as_ref().unwrap_or(sent);
        let mut message = request.message.clone();
        let parameters = stock::as_initial(sent, initial)?;
        message.records.insert(PARAMETERS.to_owned(), std::sync::Arc::new(parameters));
        let task = self.asked(stock.round, 0, request.kind, message);
        let answer = self.work(&task)?;
        let answer = stock.answer(request.kind, sent, answer)?;
        let mut known = request.message.clone();
        known.records.insert(PARAMETERS.to_owned(), std::sync::Arc::new(sent.clone()));
        self.policy.check_update(&known, &answer)?;
        Ok(answer)
    }

    /// A task for the client of the run.
    fn asked(&self, round: usize, attempt: usize, kind: &Kind, message: Message) -> Task {
        let client = self.current.as_ref().expect("it has begun").client.info().id;
        Task { client, round, attempt, kind: kind.clone(), message }
    }

    /// Lets the client do a task, starting from its state before that round.
    fn work(&mut self, task: &Task) -> Result<Message, String> {
        let &Task { round, attempt, ref kind, .. } = task;
        let current = self.current.as_mut().expect("it has begun");
        let Current { client, memory, ledger, rounds, digest } = current;
        if *kind == Kind::Train {
            self.policy.check_round(round, *rounds)?;
        }
        let is_secure = matches!(kind, Kind::Query(name) if name == SECURE);
        // Between the stages of a secure round, the state is that after the previous stage.
        let begins = is_secure && begins_round(&task.message);
        let goes_on = is_secure && memory.is_at(round, attempt) && !begins;
        let remembers = *kind != Kind::Evaluate || client.needs_state(kind);
        if remembers && !goes_on {
            // A repeated secure round starts from the state before it.
            memory.before(round, attempt, begins, client)?;
        }
        let from = memory.from();
        let mut task = task.clone();
        // A server cannot choose which of the site's replies this is.
        task.message.config.remove(RELEASE);
        task.message.config.remove(ANSWERS);
        if let Some(ledger) = ledger.as_mut().filter(|_| *kind == Kind::Train) {
            let release = ledger.admit(&task, digest, memory.digest()?)?;
            task.message.config.insert(RELEASE.to_owned(), Value::Bytes(release));
            let answers = i64::try_from(ledger.count()).unwrap_or(i64::MAX);
            task.message.config.insert(ANSWERS.to_owned(), Value::Int(answers));
        }
        let task = &task;
        let started = Instant::now();
        let (answer, panicked) = attended(client, task);
        // After a failed training, too: the next one starts from the resulting state.
        let kept = match kind {
            Kind::Train => memory.after(round, attempt, client),
            _ if goes_on => memory.after(round, attempt, client),
            _ => Ok(()),
        };
        if panicked {
            // Other state is unknown. The next task finds the state of a restarted site.
            self.current = None;
        }
        kept?;
        let mut answer = answer?;
        let seconds = started.elapsed().as_secs_f64();
        answer.config.insert(SECONDS.to_owned(), Value::Float(seconds));
        if *kind == Kind::Train {
            answer.config.insert(FROM.to_owned(), Value::Text(from));
        }
        Ok(answer)
    }
}

/// The result of a task, and whether the client panicked.
fn attended(client: &mut dyn Client, task: &Task) -> (Result<Message, String>, bool) {
    // Unwind safe, because only the state of a panicked client is used, as after any failure.
    match catch_unwind(AssertUnwindSafe(|| client.handle(task))) {
        Ok(answer) => (answer.map_err(|error| error.message), false),
        Err(_) => (Err("this site panicked; its log says where".to_owned()), true),
    }
}

fn text<'a>(config: &'a Config, key: &str) -> Result<&'a str, String> {
    text_if_any(config, key)?.ok_or_else(|| lacks(key))
}

fn text_if_any<'a>(config: &'a Config, key: &str) -> Result<Option<&'a str>, String> {
    match config.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("the server's setting `{key}` is not text")),
    }
}

/// Checks a run's token, which becomes a folder name.
fn text_of_token(config: &Config) -> Result<String, String> {
    let token = text(config, RUN)?;
    match is_token(token) {
        true => Ok(token.to_owned()),
        false => Err(format!("the server's setting `{RUN}` is not a valid token")),
    }
}

fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
}

fn take_number(config: &mut Config, key: &str) -> Result<usize, String> {
    let number = number_if_any(config, key)?.ok_or_else(|| lacks(key))?;
    config.remove(key);
    Ok(number)
}

fn number_if_any(config: &Config, key: &str) -> Result<Option<usize>, String> {
    match config.get(key) {
        None => Ok(None),
        Some(Value::Int(number)) if *number >= 0 => Ok(Some(*number as usize)),
        Some(_) => Err(format!("the server's setting `{key}` is not 0 or a positive whole number")),
    }
}

fn lacks(key: &str) -> String {
    format!("the server's message has no setting `{key}`")
}

#[cfg(test)]
mod tests {
    use flora_federation::ClientError;

    use super::*;

    /// Counts its trainings, and panics half-way through the second one.
    #[derive(Default)]
    struct Counting(u8);

    impl Client for Counting {
        fn info(&self) -> ClientInfo {
            ClientInfo { id: "alpha".to_owned(), num_examples: 1, num_test_examples: 1 }
        }

        fn handle(&mut self, _: &Task) -> Result<Message, ClientError> {
            self.0 += 10;
            assert_ne!(self.0, 21, "half-way");
            self.0 += 1;
            Ok(Message::default())
        }

        fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
            Ok(Some(vec![self.0]))
        }

        fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
            self.0 = state.map_or(0, |state| state[0]);
            Ok(())
        }
    }

    #[test]
    fn what_a_panic_leaves_is_kept_as_after_any_failure() {
        let folder = tempfile::tempdir().unwrap();
        let (message, kind) = (Message::default(), Kind::Train);
        let mut task = Task { client: "alpha".to_owned(), round: 0, attempt: 0, kind, message };
        let mut client = Counting::default();
        let mut memory = Memory::open(folder.path(), "run", 1).unwrap();
        for (round, left) in [(0, 11), (1, 21), (2, 32)] {
            task.round = round;
            memory.before(round, 0, false, &mut client).unwrap();
            let (answer, panicked) = attended(&mut client, &task);
            memory.after(round, 0, &client).unwrap();
            assert_eq!((panicked, answer.is_err()), (round == 1, round == 1));
            assert_eq!(client.0, left);
            // Another process resumes from there.
            let mut other = Counting::default();
            memory = Memory::open(folder.path(), "run", 1).unwrap();
            memory.before(round + 1, 0, false, &mut other).unwrap();
            assert_eq!(other.0, left);
            client = other;
        }
    }

    /// However often a round is retried, two of its states are kept, and no other is mistaken for a missing one.
    #[test]
    fn two_attempts_at_a_round_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path(), "run", 1).unwrap();
        let mut client = Counting(1);
        let mut trained = |round, attempt| -> Result<u8, String> {
            memory.before(round, attempt, false, &mut client)?;
            let before = client.0;
            client.0 += 1;
            memory.after(round, attempt, &client).unwrap();
            Ok(before)
        };
        trained(0, 0).unwrap();
        let first: Vec<_> = (0..6).map(|attempt| trained(1, attempt).unwrap()).collect();
        let sizes = || {
            let size = |attempt| {
                let path = folder.path().join(format!("runs/run/000001-00{attempt}.state"));
                std::fs::metadata(path).map_or(0, |it| it.len())
            };
            (0..6).filter(|attempt| size(*attempt) > 32).collect::<Vec<_>>()
        };
        assert_eq!(sizes(), [4, 5]);
        assert_eq!(trained(1, 5).unwrap(), first[5]);
        let error = trained(1, 4).unwrap_err();
        assert!(error.contains("earlier attempt at round 2"), "{error}");
        assert_eq!(trained(1, 5).unwrap(), first[5]);
        // From the beginning of the round, everything is known again.
        for (attempt, first) in first.iter().enumerate() {
            assert_eq!(trained(1, attempt).unwrap(), *first, "{attempt}");
        }
        assert_eq!(trained(2, 0).unwrap(), first[5] + 1);
    }
}
