mod crew;
mod states;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use self::crew::{Crew, Done, Job, Member};
pub use self::states::ClientStates;
use crate::{
    Answer, Client, ClientInfo, FederationError, Fleet, FleetError, Reason, RunState, Task, Wait,
};

/// A fleet whose clients are values of this process.
///
/// Clients run in parallel on at most `threads` threads, and each client's own arithmetic runs on one thread, so the
/// result is bit-identical for any number of threads.
///
/// A client that is not done at a round's deadline keeps its thread until it is, and its reply is dropped; the run
/// goes on without it. If such clients occupy all threads, no other client can work either.
pub struct Simulation {
    slots: BTreeMap<String, Slot>,
    crew: Crew,
    threads: usize,
    memory: Option<Memory>,
    /// Number of the exchange, to recognise late replies of earlier ones.
    exchanges: u64,
}

struct Slot {
    info: ClientInfo,
    seat: Seat,
}

enum Seat {
    Here(Box<Member>),
    /// The client is working.
    Away,
    /// The client panicked, which may have left its state half written, so it is not called again.
    Panicked,
}

/// Where a simulation stores its clients' states.
#[derive(Clone)]
struct Memory {
    states: Arc<ClientStates>,
    at_rest: AtRest,
}

/// Where the states of idle clients are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtRest {
    /// In memory, and for a resumable run also in the file.
    Memory,
    /// In the file only: ten thousand clients need no more memory than those that are working.
    Disk,
}

/// How long to wait for a reply before checking for a stop.
const PATIENCE: Duration = Duration::from_millis(50);

impl Simulation {
    /// Creates a fleet of these clients on `threads` worker threads.
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
            let seat = Seat::Here(Box::new(Member::new(client)));
            let slot = Slot { info: info.clone(), seat };
            if slots.insert(info.id.clone(), slot).is_some() {
                return Err(FederationError::DuplicateClient { id: info.id });
            }
        }
        let crew = Crew::new(threads)?;
        Ok(Self { slots, crew, threads, memory: None, exchanges: 0 })
    }

    /// Writes a client's state into `states` after each task that may change it, so that a run can be resumed. Without
    /// this, resumed clients start with an empty state.
    #[must_use]
    pub fn with_states(self, states: ClientStates, at_rest: AtRest) -> Self {
        Self { memory: Some(Memory { states: Arc::new(states), at_rest }), ..self }
    }

    /// Checks that the file `states` still holds every client state of `state`: otherwise a resumed run would fail only
    /// when it needs them. Nothing is changed.
    ///
    /// # Errors
    /// A missing or damaged state, with the file's name.
    pub fn check_states(state: &RunState, states: &Path) -> Result<(), FleetError> {
        let Committed { states: committed, .. } = Committed::read(&state.fleet)?;
        let Some(committed) = committed else { return Ok(()) };
        let states = ClientStates::open(states)?;
        states.restore(committed)?;
        states.verify()
    }

    /// Puts a client back and returns its reply.
    fn settle(&mut self, done: Done) -> (u64, Answer, Option<FleetError>) {
        let slot = self.slots.get_mut(&done.answer.client).expect("it came from there");
        slot.seat = done.member.map_or(Seat::Panicked, Seat::Here);
        (done.exchange, done.answer, done.trouble)
    }

    /// Waits up to `patience` for a client to finish, and puts it back. Passes its reply to `deliver` if it belongs to
    /// this exchange. Returns `None` if no client finished, otherwise whether its reply was delivered.
    fn receive(
        &mut self,
        patience: Duration,
        trouble: &mut Option<FleetError>,
        deliver: &mut dyn FnMut(Answer),
    ) -> Option<bool> {
        let (exchange, answer, broken) = self.crew.next(patience).map(|done| self.settle(done))?;
        if trouble.is_none() {
            *trouble = broken;
        }
        let is_of_this = exchange == self.exchanges;
        if is_of_this {
            deliver(answer);
        }
        Some(is_of_this)
    }

    /// Creates jobs for the tasks; unavailable clients are answered for at once.
    fn jobs(&mut self, tasks: Vec<Task>, deliver: &mut dyn FnMut(Answer)) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(tasks.len());
        let mut asked = BTreeSet::new();
        for task in tasks {
            let slot = self.slots.get_mut(&task.client);
            let twice = !asked.insert(task.client.clone());
            let (reason, message) = match slot {
                None => (Reason::Failed, "there is no such client in the fleet"),
                Some(_) if twice => (Reason::Failed, "it was asked twice"),
                Some(slot) => match std::mem::replace(&mut slot.seat, Seat::Away) {
                    Seat::Here(member) => {
                        let (exchange, memory) = (self.exchanges, self.memory.clone());
                        let size = slot.info.num_examples;
                        jobs.push(Job { exchange, size, task, member, memory });
                        continue;
                    }
                    Seat::Away => (Reason::Late, "it is still at work on an earlier task"),
                    Seat::Panicked => {
                        slot.seat = Seat::Panicked;
                        (Reason::Failed, "it panicked in an earlier call and takes no further part")
                    }
                },
            };
            deliver(Answer::failed(&task, reason, message));
        }
        // The longest job first, so that none starts when all others are done.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.size));
        jobs
    }

    /// Withdraws the tasks that no thread has started. Returns their number.
    fn withdraw(&mut self) -> usize {
        let jobs = self.crew.withdraw();
        let count = jobs.len();
        for Job { task, member, .. } in jobs {
            let slot = self.slots.get_mut(&task.client).expect("it came from there");
            slot.seat = Seat::Here(member);
        }
        count
    }
}

/// The description that [`Simulation::commit`] returns.
#[derive(Serialize, Deserialize)]
struct Committed {
    panicked: Vec<String>,
    states: Option<serde_json::Value>,
}

impl Committed {
    fn read(bytes: &[u8]) -> Result<Self, FleetError> {
        serde_json::from_slice(bytes)
            .map_err(|error| FleetError::States(format!("their index is damaged: {error}")))
    }
}

impl Fleet for Simulation {
    fn clients(&mut self, _round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        Ok(self.slots.values().map(|slot| slot.info.clone()).collect())
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let started = Instant::now();
        self.exchanges += 1;
        // Clients that were late in an earlier exchange are available again.
        let mut trouble = None;
        while self.receive(Duration::ZERO, &mut trouble, deliver).is_some() {}
        trouble.map_or(Ok(()), Err)?;
        let jobs = self.jobs(tasks, deliver);
        let mut open = jobs.len();
        self.crew.submit(jobs, &wait.stop);
        let mut trouble = None;
        while open > 0 {
            let left = wait.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()));
            if left == Some(Duration::ZERO) {
                self.withdraw();
                // Finished jobs count, even if nobody has received them yet.
                while self.receive(Duration::ZERO, &mut trouble, deliver).is_some() {}
                break;
            }
            if wait.stop.is_raised() || trouble.is_some() {
                open -= self.withdraw();
                if open == 0 {
                    break;
                }
            }
            let patience = left.map_or(PATIENCE, |left| left.min(PATIENCE));
            if self.receive(patience, &mut trouble, deliver) == Some(true) {
                open -= 1;
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        let states = self.memory.as_ref().map(|memory| memory.states.commit()).transpose()?;
        let is_out = |slot: &&Slot| matches!(slot.seat, Seat::Panicked);
        let panicked = self.slots.values().filter(is_out).map(|slot| slot.info.id.clone());
        serde_json::to_vec(&Committed { panicked: panicked.collect(), states })
            .map_err(|error| FleetError::States(error.to_string()))
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        let Committed { panicked, states } = Committed::read(committed)?;
        match (&self.memory, states) {
            (Some(memory), Some(states)) => memory.states.restore(states)?,
            (None, Some(_)) => {
                let problem = "the run kept some, but this fleet was given no file of them";
                return Err(FleetError::States(problem.to_owned()));
            }
            (_, None) => {}
        }
        for (id, slot) in &mut self.slots {
            match &mut slot.seat {
                _ if panicked.contains(id) => slot.seat = Seat::Panicked,
                Seat::Here(member) => member.sleep()?,
                Seat::Away | Seat::Panicked => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("clients", &self.slots.keys())
            .field("threads", &self.threads)
            .finish()
    }
}
