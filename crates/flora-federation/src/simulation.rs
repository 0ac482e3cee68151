use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FederationError,
    FitInstruction, FitReply, Fleet,
};

/// A fleet whose clients are values of this process.
///
/// Clients run in parallel on at most `threads` workers, and each client's own arithmetic runs on
/// one thread: a worker calls the client inside a rayon pool of one thread, which is the pool that
/// CPU kernels then find. The matrix products of one client are too small to gain from being split,
/// and a product that is never split gives the same bits for any number of threads.
pub struct Simulation {
    slots: BTreeMap<String, Slot>,
    pools: Vec<ThreadPool>,
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
        let workers = threads.min(clients.len());
        let mut slots = BTreeMap::new();
        for client in clients {
            let info = client.info();
            let slot = Slot { info: info.clone(), client, panicked: false };
            if slots.insert(info.id.clone(), slot).is_some() {
                return Err(FederationError::DuplicateClient { id: info.id });
            }
        }
        let pools = (0..workers)
            .map(|worker| {
                ThreadPoolBuilder::new()
                    .num_threads(1)
                    .thread_name(move |_| format!("client-{worker}"))
                    .build()
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { slots, pools })
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
        // Workers take from the end: the longest job first, so that none starts when all else is
        // done.
        jobs.sort_by_key(|(_, slot)| slot.info.num_examples);

        let workers = self.pools.len().min(jobs.len());
        let jobs = Mutex::new(jobs);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for pool in &self.pools[..workers] {
                let (sender, jobs, call) = (sender.clone(), &jobs, &call);
                scope.spawn(move || {
                    while let Some((index, slot)) = next(jobs) {
                        if sender.send((index, slot.run(pool, call))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for (index, answer) in receiver {
                on_reply(&answer);
                answers.push((index, answer));
            }
        });

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
            .field("threads", &self.pools.len())
            .finish()
    }
}

impl Slot {
    fn run<R: Reply>(
        &mut self,
        pool: &ThreadPool,
        call: &(impl Fn(&mut dyn Client) -> Result<R, ClientError> + Sync),
    ) -> Result<R, ClientError> {
        let id = &self.info.id;
        if self.panicked {
            let message = "it panicked in an earlier call and takes no further part";
            return Err(ClientError::new(id, message));
        }
        let client = self.client.as_mut();
        // Unwind safe, because a client that panicked is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| pool.install(|| call(client)))) {
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

fn next<T>(jobs: &Mutex<Vec<T>>) -> Option<T> {
    // Nothing can panic while the lock is held.
    jobs.lock().unwrap_or_else(PoisonError::into_inner).pop()
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
