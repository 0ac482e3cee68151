//! Message encodings: clients encode and the server decodes replies, and the reverse for tasks.

mod download;
mod rounded;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Answer, Client, ClientError, ClientInfo, Failure, Fleet, FleetError, Kind, Message, Reason,
    Task, Wait,
};

pub use download::Download;
pub use rounded::Rounded;

/// An encoding of a training reply and its inverse: compression, clipping or noise.
///
/// [`Layered`] applies an ordered list of them on both sides. The round loop checks decoded replies; bytes are counted
/// as transmitted.
pub trait Transform: Send {
    /// The name in messages.
    fn name(&self) -> &str;

    /// Encodes a reply on the client, after training. `task` is the answered task, with the parameters that were
    /// sent.
    ///
    /// # Errors
    /// A problem that keeps the client from answering.
    fn encode(&mut self, task: &Task, message: Message) -> Result<Message, String>;

    /// Decodes a reply on the server. It must tolerate any message, since none has been checked yet.
    ///
    /// # Errors
    /// The problem of the message; the reply is rejected.
    fn decode(&self, task: &Task, message: Message) -> Result<Message, String>;

    /// The client's state of this transform, such as the error of the last compression. It is part of the client's
    /// state.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Restores the state that [`save`](Self::save) returned; empty bytes reset it.
    ///
    /// # Errors
    /// Bytes that are not a state of this transform.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.is_empty() {
            true => Ok(()),
            false => Err("it keeps no state to restore".to_owned()),
        }
    }
}

/// A client or a fleet with a list of transforms around it, the innermost first: a client encodes from first to last, a
/// fleet decodes from last to first.
///
/// ```
/// use flora_core::Dtype;
/// use flora_federation::{Client, Fleet, Layered, Rounded, Simulation};
///
/// # fn make(clients: Vec<Box<dyn Client>>) -> Result<Layered<Simulation>, Box<dyn std::error::Error>> {
/// let half = || -> Vec<Box<dyn flora_federation::Transform>> { vec![Box::new(Rounded(Dtype::F16))] };
/// let clients = clients.into_iter().map(|client| {
///     Box::new(Layered::new(client, half())) as Box<dyn Client>
/// });
/// let fleet = Layered::new(Simulation::new(clients.collect(), 2)?, half());
/// # Ok(fleet)
/// # }
/// ```
pub struct Layered<T> {
    inner: T,
    layers: Vec<Box<dyn Transform>>,
    download: Option<Arc<dyn Download>>,
}

impl<T> Layered<T> {
    /// Wraps `inner` in these transforms.
    pub fn new(inner: T, layers: Vec<Box<dyn Transform>>) -> Self {
        Self { inner, layers, download: None }
    }

    /// Adds an encoding of tasks.
    #[must_use]
    pub fn with_download(self, download: Option<Arc<dyn Download>>) -> Self {
        Self { download, ..self }
    }
}

const LENGTH: usize = size_of::<u64>();

impl Client for Layered<Box<dyn Client>> {
    fn info(&self) -> ClientInfo {
        self.inner.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let received = match &self.download {
            Some(download) if is_coded(task) => Some(
                download::decoded(&**download, task)
                    .map_err(|problem| ClientError::new(&task.client, problem))?,
            ),
            _ => None,
        };
        let task = received.as_ref().unwrap_or(task);
        let mut message = self.inner.handle(task)?;
        if task.kind == Kind::Train {
            for layer in &mut self.layers {
                message = layer.encode(task, message).map_err(|problem| {
                    ClientError::new(&task.client, format!("{}: {problem}", layer.name()))
                })?;
            }
        }
        Ok(message)
    }

    /// Each layer's state, preceded by its length, then the client's state.
    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let inner = self.inner.save()?;
        let layers: Vec<Vec<u8>> = self.layers.iter().map(|layer| layer.save()).collect();
        if inner.is_none() && layers.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for layer in layers {
            bytes.extend((layer.len() as u64).to_le_bytes());
            bytes.extend(layer);
        }
        // A stateless client differs from a client with an empty state.
        bytes.push(u8::from(inner.is_some()));
        bytes.extend(inner.unwrap_or_default());
        Ok(Some(bytes))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        let id = self.inner.info().id;
        let Some(mut rest) = state else {
            for layer in &mut self.layers {
                layer.restore(&[]).map_err(|problem| ClientError::new(&id, problem))?;
            }
            return self.inner.restore(None);
        };
        let cut = || ClientError::new(&id, "its state is cut off");
        for layer in &mut self.layers {
            let (length, after) = rest.split_first_chunk::<LENGTH>().ok_or_else(cut)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
            let (own, after) = after.split_at_checked(length).ok_or_else(cut)?;
            layer
                .restore(own)
                .map_err(|problem| ClientError::new(&id, format!("{}: {problem}", layer.name())))?;
            rest = after;
        }
        let (is_there, inner) = rest.split_first().ok_or_else(cut)?;
        self.inner.restore((*is_there == 1).then_some(inner))
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        self.inner.needs_state(kind)
    }
}

impl<F: Fleet> Fleet for Layered<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.inner.clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let mut trained: BTreeMap<String, Sent> = BTreeMap::new();
        let mut coded = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.send(task) {
                Ok((task, sent)) => {
                    trained.extend(sent.map(|sent| (task.client.clone(), sent)));
                    coded.push(task);
                }
                Err(failed) => deliver(failed),
            }
        }
        let Self { inner, layers, .. } = self;
        inner.exchange(coded, wait, &mut |answer| {
            let decoded = match trained.get(&answer.client) {
                Some(sent) => {
                    let result = answer.result.and_then(|message| decode(layers, sent, message));
                    Answer { result, ..answer }
                }
                None => answer,
            };
            deliver(decoded);
        })
    }

    fn bytes_down(&mut self, task: &Task) -> u64 {
        match &self.download {
            Some(download) if is_coded(task) => match download.encode(task) {
                Ok(message) => self.inner.bytes_down(&Task { message, ..task.clone() }),
                Err(_) => 0,
            },
            _ => self.inner.bytes_down(task),
        }
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

/// A training task before it was encoded, and as the client decodes it.
struct Sent {
    whole: Task,
    received: Option<Task>,
}

impl<F> Layered<F> {
    /// The task as transmitted and the data needed to read its reply; or a failed reply, if it cannot be encoded.
    #[expect(clippy::result_large_err, reason = "an answer either way, and one a task")]
    fn send(&self, task: Task) -> Result<(Task, Option<Sent>), Answer> {
        let trains = task.kind == Kind::Train;
        let Some(download) = self.download.as_deref().filter(|_| is_coded(&task)) else {
            let reads = trains && !self.layers.is_empty();
            let sent = reads.then(|| Sent { whole: task.clone(), received: None });
            return Ok((task, sent));
        };
        let failed = |problem| Answer::failed(&task, Reason::Failed, problem);
        let message = download.encode(&task);
        let message = message
            .map_err(|problem| failed(format!("download: {}: {problem}", download.name())))?;
        let coded = Task { message, ..task.clone() };
        let sent = match trains {
            true => {
                let received = download::decoded(download, &coded).map_err(failed)?;
                Some(Sent { whole: task, received: Some(received) })
            }
            false => None,
        };
        Ok((coded, sent))
    }
}

/// Whether a task contains a model.
fn is_coded(task: &Task) -> bool {
    matches!(task.kind, Kind::Train | Kind::Evaluate)
}

fn decode(
    layers: &[Box<dyn Transform>],
    sent: &Sent,
    mut message: Message,
) -> Result<Message, Failure> {
    let refused = |message| Failure { reason: Reason::Refused, message };
    let task = sent.received.as_ref().unwrap_or(&sent.whole);
    for layer in layers.iter().rev() {
        message = layer
            .decode(task, message)
            .map_err(|problem| refused(format!("{}: {problem}", layer.name())))?;
    }
    match &sent.received {
        None => Ok(message),
        Some(received) => {
            download::moved(message, &received.message, &sent.whole.message).map_err(refused)
        }
    }
}

/// The reply and the sent task as the server decodes them, for a client that checks what it releases. Both are as the
/// client's innermost side sees them.
///
/// # Errors
/// The reason why the server would reject the reply.
pub fn read_answer(
    layers: &[Box<dyn Transform>],
    download: Option<&dyn Download>,
    task: &Task,
    answer: Message,
) -> Result<(Message, Message), String> {
    let received = match download {
        Some(download) if is_coded(task) => Some(download::decoded(download, task)?),
        _ => None,
    };
    let received = received.as_ref().unwrap_or(task);
    if task.kind != Kind::Train {
        return Ok((received.message.clone(), answer));
    }
    let sent = Sent { whole: received.clone(), received: None };
    let answer = decode(layers, &sent, answer).map_err(|failure| failure.message)?;
    Ok((received.message.clone(), answer))
}
