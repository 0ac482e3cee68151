use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use flora_core::workers::Workers;

use crate::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FederationError,
    FitInstruction, FitReply, Fleet,
};

/// A fleet whose clients are values of this process.
///
/// Clients run in parallel on at most `threads` [`Workers`], and each client's own arithmetic runs
/// on one thread, so that the result has the same bits for any number of threads.
pub struct Simulation {
    slots: BTreeMap<String, Slot>,
    workers: Workers,
}

struct Slot {
    info: ClientInfo,
    client: Box<dyn Client>,
    /// A panic may have left the client's state half written, so it is not called again.
    panicked: bool,
}

impl Simulation {
    /// A fleet of these clients on `threads` worker threads.
    ///
    /// # Errors
    /// [`FederationError::NoClients`], [`FederationError::DuplicateClient`],
    /// [`FederationError::NoThreads`] if `threads` is 0, and [`FederationError::ThreadPool`] if the
    /// threads cannot be started.
    pub fn new(clients: Vec<Box<dyn Client>>, threads: usize) -> Result<Self, FederationError> {
        if clients.is_empty() {
            return Err(FederationError::NoClients);
        }
        if threads == 0 {
            return Err(FederationError::NoThreads);
        }
        let threads = threads.min(clients.len());
        let mut slots = BTreeMap::new();
        for client in clients {
            let info = client.info();
            let slot = Slot { info: info.clone(), client, panicked: false };
            if slots.insert(info.id.clone(), slot).is_some() {
                return Err(FederationError::DuplicateClient { id: info.id });
            }
        }
        let workers = Workers::new(threads)?;
        Ok(Self { slots, workers })
    }

    /// Calls `call` on every client of `ids`, in parallel.
    fn dispatch<R: Reply>(
        &mut self,
        ids: &[String],
        call: impl Fn(&mut dyn Client) -> Result<R, ClientError> + Sync,
        on_reply: &mut dyn FnMut(&Result<R, ClientError>),
    ) -> Vec<Result<R, ClientError>> {
        let mut answers = Vec::with_capacity(ids.len());
        let mut jobs = Vec::with_capacity(ids.len());
        let mut idle: BTreeMap<&str, &mut Slot> =
            self.slots.iter_mut().map(|(id, slot)| (id.as_str(), slot)).collect();
        for (index, id) in ids.iter().enumerate() {
            if let Some(slot) = idle.remove(id.as_str()) {
                jobs.push((index, slot));
            } else {
                let message = "there is no such client in the fleet, or it was asked twice";
                let answer = Err(ClientError::new(id, message));
                on_reply(&answer);
                answers.push((index, answer));
            }
        }
        // The longest job first, so that none starts when all else is done.
        jobs.sort_by_key(|(_, slot)| std::cmp::Reverse(slot.info.num_examples));
        answers.extend(self.workers.map(
            jobs,
            |(index, slot)| (index, slot.run(&call)),
            |_, (_, answer)| on_reply(answer),
        ));
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl Fleet for Simulation {
    fn clients(&self) -> Vec<ClientInfo> {
        self.slots.values().map(|slot| slot.info.clone()).collect()
    }

    fn fit(
        &mut self,
        ids: &[String],
        instruction: &FitInstruction,
        on_reply: &mut dyn FnMut(&Result<FitReply, ClientError>),
    ) -> Vec<Result<FitReply, ClientError>> {
        self.dispatch(ids, |client| client.fit(instruction), on_reply)
    }

    fn evaluate(
        &mut self,
        ids: &[String],
        instruction: &EvaluateInstruction,
        on_reply: &mut dyn FnMut(&Result<EvaluateReply, ClientError>),
    ) -> Vec<Result<EvaluateReply, ClientError>> {
        self.dispatch(ids, |client| client.evaluate(instruction), on_reply)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("clients", &self.slots.keys())
            .field("threads", &self.workers.threads())
            .finish()
    }
}

impl Slot {
    fn run<R: Reply>(
        &mut self,
        call: &(impl Fn(&mut dyn Client) -> Result<R, ClientError> + Sync),
    ) -> Result<R, ClientError> {
        let id = &self.info.id;
        if self.panicked {
            let message = "it panicked in an earlier call and takes no further part";
            return Err(ClientError::new(id, message));
        }
        let client = self.client.as_mut();
        // Unwind safe, because a client that panicked is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| call(client))) {
            Ok(Ok(reply)) if reply.client() != id => {
                let message = format!("it signed its reply as `{}`", reply.client());
                Err(ClientError::new(id, message))
            }
            Ok(answer) => answer,
            Err(payload) => {
                self.panicked = true;
                let message = format!("it panicked: {}", panic_message(payload.as_ref()));
                Err(ClientError::new(id, message))
            }
        }
    }
}

trait Reply: Send {
    fn client(&self) -> &str;
}

impl Reply for FitReply {
    fn client(&self) -> &str {
        &self.client
    }
}

impl Reply for EvaluateReply {
    fn client(&self) -> &str {
        &self.client
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "no message"
    }
}
