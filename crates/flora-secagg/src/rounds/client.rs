use std::collections::BTreeMap;

use flora_core::hex;
use flora_federation::{Client as Participant, ClientError, ClientInfo, Kind, Message, Task};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};

use super::{SECURE, eligible, number, put, take};
use crate::{
    Ask, Client, ClientId, Directory, Past, Policy, Request, SecaggError, Session, SigningKey,
    Update, VerifyingKey, crypto, secrets, system_rng,
};

/// A client whose updates leave it only under masks: of each round, the server gets only the sum over all clients.
///
/// It answers the queries [`SECURE`] of a [`SecureFleet`](super::SecureFleet), and training tasks that contain one of
/// its requests. A training task without a request is refused, and so is any other query. Measurements on its images
/// stay with the client, except for the number of examples and the privacy budget spent.
///
/// Its identity, an Ed25519 key, is drawn in the first round and kept with its state, as are the keys that other
/// clients sent first ([`Directory::FirstUse`]).
pub struct Secure<C> {
    inner: C,
    policy: Policy,
    /// The range that setups must have, and the norm, if there is one instead: otherwise a server could learn about
    /// values from the range at which they are refused.
    range: f32,
    norm: Option<f32>,
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
    /// `inner` under masks, in rounds that `policy` allows, of updates within `range`.
    pub fn new(inner: C, policy: Policy, range: f32) -> Self {
        let (norm, identity, kept) = (None, None, Kept::default());
        Self { inner, policy, range, norm, identity, kept, current: None }
    }

    /// The same with updates of at most this norm, which are rotated before they are rounded: the plan's
    /// [`Config::norm`](crate::Config::norm). With a norm, setups without it are refused; without one, setups with it
    /// are.
    #[must_use]
    pub fn with_norm(self, norm: Option<f32>) -> Self {
        Self { norm, ..self }
    }

    /// The same with an identity that the owner keeps, independent of the client's state.
    #[must_use]
    pub fn with_identity(self, identity: Option<SigningKey>) -> Self {
        Self { identity, ..self }
    }

    /// Begins an attempt, if the request does.
    fn begin(&mut self, task: &Task, request: &Request) -> Result<(), SecaggError> {
        let Ask::Setup(setup) = &request.body else { return Ok(()) };
        let session = setup.session();
        if (session.round, session.attempt) != (task.round as u64, task.attempt as u64) {
            let problem = format!("it is about {session}, and the task about round {}", task.round);
            return Err(SecaggError::setting("session", problem));
        }
        let named = |rotated| if rotated { "norm" } else { "range" };
        let (expected, found) = (named(self.norm.is_some()), named(setup.is_rotated()));
        if expected != found {
            let problem = format!("a {found} instead of the {expected} of the plan");
            return Err(SecaggError::setting(expected, problem));
        }
        let most = self.norm.unwrap_or(self.range);
        if setup.range() != most {
            let problem = format!("{} instead of {most} of the plan", setup.range());
            return Err(SecaggError::setting(expected, problem));
        }
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
        let id = number(&task.client);
        self.current = Some(Client::new(setup.clone(), id, identity, directory, &self.policy)?);
        Ok(())
    }

    fn answer(
        &mut self,
        task: &Task,
        bytes: &[u8],
        update: Option<Update<'_>>,
    ) -> Result<Vec<u8>, SecaggError> {
        let request = Request::from_bytes(bytes)?;
        self.begin(task, &request)?;
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
        let task = Task { message: plain, ..task.clone() };
        let trained = self.inner.handle(&task)?;
        let (values, weight) = update(&task, &trained).map_err(failed)?;
        let update = Update { values: &values, weight };
        let masked = self.answer(&task, &request, Some(update));
        let masked = masked.map_err(|error| failed(hidden(&error, self.norm.is_some())))?;
        let mut answer = Message { metrics: trained.metrics, ..Message::default() };
        answer.hide_measurements();
        put(&mut answer, masked);
        Ok(answer)
    }
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
        let saved = Saved {
            identity: hex::encode(&identity.to_bytes()),
            run: run.clone(),
            past: past.clone(),
            directory: directory
                .iter()
                .map(|(id, key)| (id.0, hex::encode(key.as_bytes())))
                .collect(),
            current: self.current.as_ref().map(|current| hex::encode(&current.save())),
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
