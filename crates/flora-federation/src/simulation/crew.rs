//! The worker threads that run simulated clients.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{AtRest, Memory};
use crate::{Answer, Client, ClientError, FleetError, Kind, Reason, Stop, Task};

/// A client, and whether its state is loaded.
pub(super) struct Member {
    client: Box<dyn Client>,
    awake: bool,
}

/// A task and its client.
pub(super) struct Job {
    pub(super) exchange: u64,
    /// Estimated relative duration.
    pub(super) size: usize,
    pub(super) task: Task,
    pub(super) member: Box<Member>,
    pub(super) memory: Option<Memory>,
}

/// The result of a job.
pub(super) struct Done {
    pub(super) exchange: u64,
    /// `None` if it panicked.
    pub(super) member: Option<Box<Member>>,
    pub(super) answer: Answer,
    /// The client's state could not be written or read.
    pub(super) trouble: Option<FleetError>,
}

/// Threads that live as long as the fleet: a job may outlast the exchange that submitted it.
///
/// Each is the only thread of a rayon pool, so that a client's arithmetic is never split: see
/// [`Workers`](flora_core::workers::Workers).
pub(super) struct Crew {
    queue: Arc<Queue>,
    done: Receiver<Done>,
    _pools: Vec<ThreadPool>,
}

struct Queue {
    jobs: Mutex<Jobs>,
    ready: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// No job is started once this is raised.
    stop: Stop,
    closed: bool,
}

impl Crew {
    pub(super) fn new(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue { jobs: Mutex::default(), ready: Condvar::new() });
        let (sender, done) = channel();
        let mut pools = Vec::with_capacity(threads);
        for _ in 0..threads {
            let pool = ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
                std::io::Error::other(format!("cannot start a worker thread: {error}"))
            })?;
            let (queue, sender) = (Arc::clone(&queue), sender.clone());
            pool.spawn(move || queue.work(&sender));
            pools.push(pool);
        }
        Ok(Self { queue, done, _pools: pools })
    }

    /// Appends jobs to the queue, in their order. None is started once `stop` is raised.
    pub(super) fn submit(&self, submitted: Vec<Job>, stop: &Stop) {
        let mut jobs = self.queue.lock();
        jobs.stop = stop.clone();
        jobs.waiting.extend(submitted);
        drop(jobs);
        self.queue.ready.notify_all();
    }

    /// Removes and returns the jobs that no thread has started.
    pub(super) fn withdraw(&self) -> Vec<Job> {
        self.queue.lock().waiting.drain(..).collect()
    }

    /// The next finished job, if one finishes within `patience`.
    pub(super) fn next(&self, patience: Duration) -> Option<Done> {
        self.done.recv_timeout(patience).ok()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let mut jobs = self.queue.lock();
        jobs.closed = true;
        jobs.waiting.clear();
        self.queue.ready.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing panics while it holds the lock.
        self.jobs.lock().unwrap_or_else(|error| error.into_inner())
    }

    /// The main loop of a worker thread.
    fn work(&self, done: &Sender<Done>) {
        while let Some(job) = self.next() {
            if done.send(job.run()).is_err() {
                break;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return None;
            }
            // The submitter then withdraws the jobs.
            if !jobs.stop.is_raised()
                && let Some(job) = jobs.waiting.pop_front()
            {
                return Some(job);
            }
            jobs = self.ready.wait(jobs).unwrap_or_else(|error| error.into_inner());
        }
    }
}

impl Job {
    fn run(self) -> Done {
        let Self { exchange, task, mut member, memory, .. } = self;
        let started = Instant::now();
        let mut trouble = None;
        // Unwind safe, because a client that panicked is never called again.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let memory = memory.as_ref();
            if let Err(error) = member.wake(&task, memory) {
                trouble = Some(error);
                return Err(ClientError::new(&task.client, "its state is lost"));
            }
            let result = member.client.handle(&task);
            trouble = member.rest(&task, memory).err();
            result
        }));
        let (result, panicked) = match caught {
            Ok(result) => (result.map_err(|error| error.message), false),
            Err(payload) => (Err(format!("it panicked: {}", said(payload.as_ref()))), true),
        };
        let answer = match result {
            Err(message) => Answer::failed(&task, Reason::Failed, message),
            Ok(message) => Answer::new(&task, Ok(message)),
        };
        let seconds = started.elapsed().as_secs_f64();
        let member = (!panicked).then_some(member);
        Done { exchange, member, answer: Answer { seconds, ..answer }, trouble }
    }
}

impl Member {
    pub(super) fn new(client: Box<dyn Client>) -> Self {
        Self { client, awake: true }
    }

    /// Drops the client's state, which is stored in the file.
    pub(super) fn sleep(&mut self) -> Result<(), FleetError> {
        self.awake = false;
        Ok(self.client.restore(None)?)
    }

    /// Loads the client's state, if the task needs it.
    fn wake(&mut self, task: &Task, memory: Option<&Memory>) -> Result<(), FleetError> {
        // State that a task may change must be loaded.
        if self.awake || (task.kind == Kind::Evaluate && !self.client.needs_state(&task.kind)) {
            return Ok(());
        }
        if let Some(memory) = memory {
            let state = memory.states.read(&task.client)?;
            self.client.restore(state.as_deref())?;
        }
        self.awake = true;
        Ok(())
    }

    /// Writes the client's state, if the task may have changed it.
    fn rest(&mut self, task: &Task, memory: Option<&Memory>) -> Result<(), FleetError> {
        let Some(memory) = memory.filter(|_| self.awake) else { return Ok(()) };
        if task.kind != Kind::Evaluate {
            memory.states.write(&task.client, self.client.save()?.as_deref())?;
        }
        match memory.at_rest {
            AtRest::Memory => Ok(()),
            AtRest::Disk => self.sleep(),
        }
    }
}

/// The message of a panic.
fn said(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "no message"
    }
}
