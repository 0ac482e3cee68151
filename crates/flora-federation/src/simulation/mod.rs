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
/// Clients run in parallel on at most `threads` threads, and each client's own arithmetic runs on one
/// thread, so that the result has the same bits for any number of threads.
///
/// A client that is not done at a round's deadline keeps its thread until it is, and its answer is
/// dropped; the run goes on without it. Where all threads are taken by such clients, nobody else can
/// work either.
pub struct Simulation {
    slots: BTreeMap<String, Slot>,
    crew: Crew,
    threads: usize,
    memory: Option<Memory>,
    /// Tells answers of this exchange from late ones.
    exchanges: u64,
}

struct Slot {
    info: ClientInfo,
    seat: Seat,
}

enum Seat {
    Here(Box<Member>),
    /// At work.
    Away,
    /// A panic may have left the client's state half written, so it is not called again.
    Panicked,
}

/// Where a simulation keeps what its clients remember.
#[derive(Clone)]
struct Memory {
    states: Arc<ClientStates>,
    at_rest: AtRest,
}

/// Where clients that do nothing have what they remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtRest {
    /// With themselves, and for a resumed run in the file, too.
    Memory,
    /// In the file only: ten thousand clients take the memory of those at work.
    Disk,
}

/// How long to wait for an answer before looking whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

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
            let seat = Seat::Here(Box::new(Member::new(client)));
            let slot = Slot { info: info.clone(), seat };
            if slots.insert(info.id.clone(), slot).is_some() {
                return Err(FederationError::DuplicateClient { id: info.id });
            }
        }
        let crew = Crew::new(threads)?;
        Ok(Self { slots, crew, threads, memory: None, exchanges: 0 })
    }

    /// The same fleet, which writes what a client remembers into `states` after each task that may
    /// change it, so that a run can be resumed. Without, clients that are resumed have forgotten
    /// everything.
    #[must_use]
    pub fn with_states(self, states: ClientStates, at_rest: AtRest) -> Self {
        Self { memory: Some(Memory { states: Arc::new(states), at_rest }), ..self }
    }

    /// Whether the file `states` still holds everything that the clients of a run remembered in `state`: a
    /// run that is resumed would fail only where it needs it. Nothing is changed.
    ///
    /// # Errors
    /// What is missing or damaged, with the file's name.
    pub fn check_states(state: &RunState, states: &Path) -> Result<(), FleetError> {
        let Committed { states: committed, .. } = Committed::read(&state.fleet)?;
        let Some(committed) = committed else { return Ok(()) };
        let states = ClientStates::open(states)?;
        states.restore(committed)?;
        states.verify()
    }

    /// Puts a client back and gives its answer.
    fn settle(&mut self, done: Done) -> (u64, Answer, Option<FleetError>) {
        let slot = self.slots.get_mut(&done.answer.client).expect("it came from there");
        slot.seat = done.member.map_or(Seat::Panicked, Seat::Here);
        (done.exchange, done.answer, done.trouble)
    }

    /// Waits that long for a client to be done, and puts it back. Its answer goes to `deliver` if it is one of
    /// this exchange. `None` if nobody was done, otherwise whether it was.
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

    /// Takes the clients of the tasks; those that cannot be had are answered for at once.
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
        // The longest job first, so that none starts when all else is done.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.size));
        jobs
    }

    /// Takes back what no thread has begun. Gives how many tasks that were.
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

/// What [`Simulation::commit`] describes.
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
        // Those that were late in an earlier exchange are back.
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
                // What is done counts, although nobody has looked.
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
