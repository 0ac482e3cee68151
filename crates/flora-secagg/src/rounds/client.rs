use std::collections::BTreeMap;

use flora_core::hex;
use flora_federation::{
    Client as Participant, ClientError, ClientInfo, Kind, Message, Task, Value,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{SECURE, eligible, number, put, take};
use crate::{
    Ask, Client, ClientId, Config, Directory, Past, Policy, Request, SecaggError, Session,
    SigningKey, Stage, Tag, Update, VerifyingKey, crypto, secrets, system_rng,
};

/// A client whose updates leave it only under masks: of each round, the server gets only the sum over all clients.
///
/// It answers the queries [`SECURE`] of a [`SecureFleet`](super::SecureFleet), and training tasks that contain one of
/// its requests. A training task without a request is refused, and so is any other query. Measurements on its images
/// stay with the client, except for the number of examples and the privacy budget spent.
///
/// Its identity, an Ed25519 key, is drawn in the first round and kept with its state, as are the keys that other
/// clients sent first ([`Directory::FirstUse`]).
///
/// Its masks cancel only with those of clients that trained on the same task: the same records and settings, in the same
/// run ([`with_plan`](Self::with_plan)).
pub struct Secure<C> {
    inner: C,
    policy: Policy,
    /// The settings that setups must have. A server that chose the range could learn about values from the range at
    /// which they are refused; one that chose the threshold could open shares with few clients.
    config: Config,
    /// The plan of the run, if there is one.
    plan: Vec<u8>,
    /// Settings of tasks that clients do not share.
    own: &'static [&'static str],
    /// Whether the state is kept without the keys of masks that were not used.
    forgets: bool,
    /// Its identity, if it is kept elsewhere.
    identity: Option<SigningKey>,
    kept: Kept,
    current: Option<Client>,
}

#[derive(Clone, Default)]
struct Kept {
    /// The one run that it takes part in.
    run: Option<String>,
    identity: Option<SigningKey>,
    past: Past,
    directory: BTreeMap<ClientId, VerifyingKey>,
}

impl<C: Participant> Secure<C> {
    /// `inner` under masks, in rounds that `policy` allows, with setups that `config` gives for their clients.
    pub fn new(inner: C, policy: Policy, config: Config) -> Self {
        Self {
            inner,
            policy,
            config,
            plan: Vec::new(),
            own: &[],
            forgets: false,
            identity: None,
            kept: Kept::default(),
            current: None,
        }
    }

    /// The same in a run whose server sent this plan, on which training depends. Only clients with the same plan have
    /// masks that cancel.
    #[must_use]
    pub fn with_plan(self, plan: Vec<u8>) -> Self {
        Self { plan, ..self }
    }

    /// The same with settings of tasks, by name, that the client's owner adds: they may differ between clients. Remove
    /// settings of these names that come from a server.
    #[must_use]
    pub fn with_own_settings(self, own: &'static [&'static str]) -> Self {
        Self { own, ..self }
    }

    /// The same for a client whose states outlive a request, and may be restored at the server's wish. Its state is
    /// then saved without the keys of masks that were not used yet: a client that is restored to such a state could
    /// mask two updates alike, and their difference would show. It must be kept in memory between the first request of
    /// a round and its training.
    #[must_use]
    pub fn forgetting_unused_masks(self) -> Self {
        Self { forgets: true, ..self }
    }

    /// The same with an identity that the owner keeps, independent of the client's state.
    #[must_use]
    pub fn with_identity(self, identity: Option<SigningKey>) -> Self {
        Self { identity, ..self }
    }

    /// Begins an attempt, if the request does.
    fn begin(&mut self, client: &str, request: &Request) -> Result<(), SecaggError> {
        let Ask::Setup(setup) = &request.body else { return Ok(()) };
        let session = setup.session();
        if (session.round, session.attempt) != (request.tag.round, request.tag.attempt) {
            let problem = format!("it is about {session}, and the task about {}", request.tag);
            return Err(SecaggError::setting("session", problem));
        }
        self.config.check_planned(setup)?;
        // Under another name, a second attempt at a round would be the first of another run.
        let run = self.kept.run.get_or_insert_with(|| session.run.clone());
        if *run != session.run {
            let problem = format!("it is of run {:?}, and this client's is {run:?}", session.run);
            return Err(SecaggError::setting("session", problem));
        }
        self.current = None;
        self.kept.past.admit(session)?;
        let identity = match self.identity.as_ref().or(self.kept.identity.as_ref()) {
            Some(identity) => identity.clone(),
            None => SigningKey::generate(&mut system_rng()?),
        };
        self.kept.identity = Some(identity.clone());
        let directory = Directory::FirstUse(self.kept.directory.clone());
        let id = number(client);
        self.current = Some(Client::new(setup.clone(), id, identity, directory, &self.policy)?);
        Ok(())
    }

    fn answer(
        &mut self,
        task: &Task,
        bytes: &[u8],
        update: Option<Update<'_>>,
    ) -> Result<Vec<u8>, SecaggError> {
        let request = request_of(task, bytes)?;
        self.begin(&task.client, &request)?;
        let current = self.current.as_mut().ok_or_else(|| {
            SecaggError::setting(
                "session",
                "it began without this client, which was restarted since",
            )
        })?;
        let mut rng = match &request.body {
            // Rounds alone, for which a stream that is known does, and gives a run that is repeated the same bits.
            // Every other stage draws secrets.
            Ask::Bundles(_) => rounding(current.setup().session(), current.id()),
            _ => system_rng()?,
        };
        let response = current.answer(&request, update, &mut rng)?;
        self.kept.directory.clone_from(current.directory().keys());
        if matches!(request.body, Ask::Signatures(_)) {
            self.kept.past.opened();
        }
        Ok(response.to_bytes())
    }

    fn train(&mut self, task: &Task) -> Result<Message, ClientError> {
        let failed = |problem: String| ClientError::new(&task.client, problem);
        let mut plain = task.message.clone();
        let request = take(&mut plain).ok_or_else(|| {
            failed("it replies under masks only, and the task asks for a plain update".to_owned())
        })?;
        // Before the long work.
        if self.current.is_none() {
            return Err(failed(format!("{SECURE}: the round began without this client")));
        }
        request_of(task, &request).map_err(|error| failed(format!("{SECURE}: {error}")))?;
        let task = Task { message: plain, ..task.clone() };
        let trained = self.inner.handle(&task)?;
        let (values, weight) = update(&task, &trained).map_err(failed)?;
        let digest = digest(&self.plan, &task.message, self.own);
        let update = Update { values: &values, weight, task: digest };
        let masked = self.answer(&task, &request, Some(update));
        let masked = masked.map_err(|error| failed(hidden(&error, self.config.norm.is_some())))?;
        let mut answer = Message { metrics: trained.metrics, ..Message::default() };
        answer.hide_measurements();
        put(&mut answer, masked);
        Ok(answer)
    }
}

/// Reads a request, which must be of the task's round and attempt: masks of one attempt, used for a task of another,
/// would be used twice.
fn request_of(task: &Task, bytes: &[u8]) -> Result<Request, SecaggError> {
    let request = Request::from_bytes(bytes)?;
    let Tag { round, attempt, .. } = request.tag;
    match (round, attempt) == (task.round as u64, task.attempt as u64) {
        true => Ok(request),
        false => {
            let problem = format!(
                "the request is of round {round}, attempt {attempt}, and the task of round {}, attempt {}",
                task.round, task.attempt
            );
            Err(SecaggError::setting("session", problem))
        }
    }
}

/// The digest of a task: of everything that the server sent and that training depends on, except settings in `own`.
fn digest(plan: &[u8], message: &Message, own: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Every part after its length: two messages never give the same bytes.
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(b"flora-secagg task");
    add(plan);
    add(&(message.records.len() as u64).to_le_bytes());
    for (name, record) in &message.records {
        add(name.as_bytes());
        add(&(record.len() as u64).to_le_bytes());
        // In their order, which is that of the lanes.
        for (name, tensor) in record.iter() {
            add(name.as_bytes());
            add(format!("{:?} {:?}", tensor.dtype(), tensor.shape()).as_bytes());
            add(&tensor.to_le_bytes());
        }
    }
    let settings: Vec<_> =
        message.config.iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
    add(&(settings.len() as u64).to_le_bytes());
    for (name, value) in settings {
        add(name.as_bytes());
        let (kind, bytes) = match value {
            Value::Bool(value) => (0, vec![u8::from(*value)]),
            Value::Int(value) => (1, value.to_le_bytes().to_vec()),
            Value::Float(value) => (2, value.to_bits().to_le_bytes().to_vec()),
            Value::Text(value) => (3, value.as_bytes().to_vec()),
            Value::Bytes(value) => (4, value.clone()),
            // Of a later version: at least its text.
            other => (5, format!("{other:?}").into_bytes()),
        };
        add(&[kind]);
        add(&bytes);
    }
    for (name, value) in &message.metrics {
        add(name.as_bytes());
        add(&value.to_bits().to_le_bytes());
    }
    hash.finalize().into()
}

/// The stream that a client rounds with in a round, whatever the attempt.
fn rounding(session: &Session, client: ClientId) -> ChaCha20Rng {
    let (round, client) = (session.round.to_le_bytes(), secrets::number(client));
    let key = crypto::hash("rounding", &[&round, &client, session.run.as_bytes()]);
    ChaCha20Rng::from_seed(key)
}

/// An error in the form that may leave the client: without the numbers that masks hide.
fn hidden(error: &SecaggError, is_rotated: bool) -> String {
    match error {
        SecaggError::Norm { .. } => format!(
            "{SECURE}: the norm of its update is larger than the lanes allow; raise federation.secure.norm, or lower the learning rate"
        ),
        SecaggError::Range { .. } if is_rotated => format!(
            "{SECURE}: a number of its update is beyond the range of the lanes after the rotation; raise \
             federation.secure.norm, or lower the learning rate"
        ),
        SecaggError::Range { .. } => format!(
            "{SECURE}: a number of its update is beyond the range of the lanes; raise federation.secure.range, or lower the \
             learning rate"
        ),
        error => format!("{SECURE}: {error}"),
    }
}

/// The update from training, in the order of the sent tensors, and its number of examples.
fn update(task: &Task, trained: &Message) -> Result<(Vec<f32>, u64), String> {
    let (Some(sent), Some(answer)) = (task.message.get_parameters(), trained.get_parameters())
    else {
        return Err("there are no parameters to mask".to_owned());
    };
    let (mut values, mut tensors) = (Vec::new(), 0);
    for (name, before) in eligible(sent) {
        let Ok(after) = answer.matching(name, before) else { continue };
        let (from, to) = (before.to_f32(), after.to_f32());
        values.extend(to.iter().zip(from.iter()).map(|(to, from)| to - from));
        tensors += 1;
    }
    if tensors != answer.len() || trained.records.len() != 1 {
        return Err("secure aggregation adds up updates of what was sent, and the answer has more"
            .to_owned());
    }
    let examples =
        trained.num_examples().ok_or("it does not say for how many examples it stands")?;
    Ok((values, examples as u64))
}

impl<C: Participant> Participant for Secure<C> {
    fn info(&self) -> ClientInfo {
        self.inner.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        match &task.kind {
            Kind::Evaluate => self.inner.handle(task),
            Kind::Train => self.train(task),
            Kind::Query(name) if name == SECURE => {
                let failed = |problem: String| ClientError::new(&task.client, problem);
                let mut message = task.message.clone();
                let request = take(&mut message)
                    .ok_or_else(|| failed(format!("the query has no record `{SECURE}`")))?;
                let bytes = self.answer(task, &request, None);
                let bytes = bytes.map_err(|error| failed(format!("{SECURE}: {error}")))?;
                let mut answer = Message::default();
                put(&mut answer, bytes);
                Ok(answer)
            }
            Kind::Query(name) => Err(ClientError::new(
                &task.client,
                format!("it replies under masks only, and not to the query `{name}`"),
            )),
        }
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let inner = self.inner.save()?;
        let Kept { run, identity, past, directory } = &self.kept;
        let Some(identity) = identity else {
            return Ok(inner.map(|inner| [&[0], &inner[..]].concat()));
        };
        let is_unused = |current: &&Client| current.stage() <= Stage::Masked;
        let current = self.current.as_ref().filter(|it| !(self.forgets && is_unused(it)));
        let saved = Saved {
            identity: hex::encode(&identity.to_bytes()),
            run: run.clone(),
            past: past.clone(),
            directory: directory
                .iter()
                .map(|(id, key)| (id.0, hex::encode(key.as_bytes())))
                .collect(),
            current: current.map(|current| hex::encode(&current.save())),
            is_inner: inner.is_some(),
        };
        let json = serde_json::to_vec(&saved).expect("plain data");
        let length = (json.len() as u64).to_le_bytes();
        Ok(Some([&[1], &length[..], &json, &inner.unwrap_or_default()].concat()))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        (self.kept, self.current) = (Kept::default(), None);
        let id = self.inner.info().id;
        let damaged =
            || ClientError::new(&id, "its state is damaged, or without secure aggregation");
        match state {
            None => self.inner.restore(None),
            Some([0, inner @ ..]) => self.inner.restore(Some(inner)),
            Some([1, rest @ ..]) => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
                let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
                let (json, inner) = rest.split_at_checked(length).ok_or_else(damaged)?;
                let saved: Saved = serde_json::from_slice(json).map_err(|_| damaged())?;
                let is_inner = saved.is_inner;
                (self.kept, self.current) = saved.read(&self.policy).ok_or_else(damaged)?;
                self.inner.restore(is_inner.then_some(inner))
            }
            Some(_) => Err(damaged()),
        }
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        self.inner.needs_state(kind)
    }
}

/// The saved data, as JSON with hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct Saved {
    identity: String,
    run: Option<String>,
    past: Past,
    directory: Vec<(u64, String)>,
    current: Option<String>,
    is_inner: bool,
}

impl Saved {
    fn read(self, policy: &Policy) -> Option<(Kept, Option<Client>)> {
        let key = |text: &str| <[u8; 32]>::try_from(hex::decode(text)?).ok();
        let identity = SigningKey::from_bytes(&key(&self.identity)?);
        let mut directory = BTreeMap::new();
        for (id, text) in &self.directory {
            directory.insert(ClientId(*id), VerifyingKey::from_bytes(&key(text)?).ok()?);
        }
        let current = match self.current {
            None => None,
            Some(text) => {
                let directory = Directory::FirstUse(directory.clone());
                let bytes = hex::decode(&text)?;
                Some(Client::restore(&bytes, identity.clone(), directory, policy).ok()?)
            }
        };
        let kept = Kept { run: self.run, identity: Some(identity), past: self.past, directory };
        Some((kept, current))
    }
}
