//! What happens to answers on their way: encoded by the client, decoded by the server.

use std::{collections::BTreeMap, sync::Arc};

use flora_core::Dtype;

use crate::{
    Answer, Client, ClientError, ClientInfo, Failure, Fleet, FleetError, Kind, Message, Reason,
    Task, Wait,
};

/// A change to the answer of a client that trained, and its inverse: a compression, a clipping, a
/// noise.
///
/// [`Layered`] applies an ordered list of them, on both sides. The checks of the round loop see what was
/// decoded; bytes are counted as they travelled.
pub trait Transform: Send {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// On the client's side, after training. `task` is what was asked for, and holds what was sent.
    ///
    /// # Errors
    /// What keeps the client from answering.
    fn encode(&mut self, task: &Task, message: Message) -> Result<Message, String>;

    /// On the server's side. It must stand any message: it has not been checked.
    ///
    /// # Errors
    /// What is wrong with the message; the answer is refused.
    fn decode(&self, task: &Task, message: Message) -> Result<Message, String>;

    /// What the client's side remembers, such as the error of the last compression; a part of the
    /// client's state.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Puts back what [`save`](Self::save) gave; with nothing, forgets.
    ///
    /// # Errors
    /// Bytes that are not this transform's.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.is_empty() {
            true => Ok(()),
            false => Err("it keeps no state to restore".to_owned()),
        }
    }
}

/// A client or a fleet with transforms around it, the first of which is the innermost: a client encodes
/// from the first to the last, a fleet decodes from the last to the first.
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
}

impl<T> Layered<T> {
    /// `inner` with these around it.
    pub fn new(inner: T, layers: Vec<Box<dyn Transform>>) -> Self {
        Self { inner, layers }
    }
}

const LENGTH: usize = size_of::<u64>();

impl Client for Layered<Box<dyn Client>> {
    fn info(&self) -> ClientInfo {
        self.inner.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
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

    /// Each layer's state with its length before it, then the client's.
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
        // A client that remembers nothing, and one that remembers an empty state, are two things.
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
        if self.layers.is_empty() {
            return self.inner.exchange(tasks, wait, deliver);
        }
        let trained: BTreeMap<String, Task> = tasks
            .iter()
            .filter(|task| task.kind == Kind::Train)
            .map(|task| (task.client.clone(), task.clone()))
            .collect();
        let Self { inner, layers } = self;
        inner.exchange(tasks, wait, &mut |answer| {
            let decoded = match trained.get(&answer.client) {
                Some(task) => {
                    let result = answer.result.and_then(|message| decode(layers, task, message));
                    Answer { result, ..answer }
                }
                None => answer,
            };
            deliver(decoded);
        })
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

fn decode(
    layers: &[Box<dyn Transform>],
    task: &Task,
    mut message: Message,
) -> Result<Message, Failure> {
    for layer in layers.iter().rev() {
        message = layer.decode(task, message).map_err(|problem| Failure {
            reason: Reason::Refused,
            message: format!("{}: {problem}", layer.name()),
        })?;
    }
    Ok(message)
}

/// Every number of an answer rounded to another element type on its way, and widened to f32 again by
/// the server: half the bytes with f16 or bf16.
#[derive(Debug, Clone, Copy)]
pub struct Rounded(pub Dtype);

impl Transform for Rounded {
    fn name(&self) -> &str {
        "rounded"
    }

    fn encode(&mut self, _task: &Task, message: Message) -> Result<Message, String> {
        Ok(cast(message, self.0))
    }

    fn decode(&self, _task: &Task, message: Message) -> Result<Message, String> {
        for record in message.records.values() {
            if let Some((name, tensor)) = record.iter().find(|(_, it)| it.dtype() != self.0) {
                let (is, expected) = (tensor.dtype(), self.0);
                return Err(format!("tensor `{name}` has element type {is}, expected {expected}"));
            }
        }
        Ok(cast(message, Dtype::F32))
    }
}

fn cast(mut message: Message, dtype: Dtype) -> Message {
    for record in message.records.values_mut() {
        *record = Arc::new(record.cast(dtype));
    }
    message
}
