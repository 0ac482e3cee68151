//! Injected faults, to test a policy before real clients fail.

mod attack;
mod config;
mod normal;
mod updates;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use flora_core::{HostTensor, ParameterRecord, RecordError, seed};
use rand::RngExt;

pub use attack::Attack;
pub use config::Faults;

use crate::{
    Answer, ClientInfo, Failure, FederationError, Fleet, FleetError, Kind, Message, PARAMETERS,
    Reason, Task, Wait,
};

/// A fleet whose clients fail, straggle, leave, send poison and attack, as configured in [`Faults`]. Everything is
/// drawn from a seed, by client and round, so that a resumed run sees the same faults.
///
/// Faults affect training. Evaluations are affected only if a client has left.
#[derive(Debug)]
pub struct Faulty<F> {
    fleet: F,
    faults: Faults,
    seed: u64,
    poison: BTreeMap<String, Poison>,
    attackers: BTreeSet<String>,
}

/// Invalid content that a client sends instead of its trained parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poison {
    Nan,
    WrongShape,
    Huge,
    Stale,
}

/// The value of every parameter that a client sends under [`Faults::huge`]. Finite in f32.
const HUGE: f32 = 1e9;

impl<F: Fleet> Faulty<F> {
    /// Wraps `fleet` with faults.
    ///
    /// # Errors
    /// [`FederationError::Faults`] for invalid settings, including a share of attackers that rounds to no client, and
    /// errors of the fleet.
    pub fn new(mut fleet: F, faults: Faults, seed: u64) -> Result<Self, FederationError> {
        faults.check()?;
        let clients = fleet.clients(0).map_err(FederationError::Fleet)?;
        let (poison, attackers) = drawn(&faults, seed, &clients);
        faults.check_clients(&clients, seed)?;
        Ok(Self { fleet, faults, seed, poison, attackers })
    }

    /// The attacking clients; see [`Faults::attackers`].
    pub fn attackers(&self) -> &BTreeSet<String> {
        &self.attackers
    }

    /// Whether the client is away in the round: it left in this round or shortly before.
    fn is_away(&self, client: &str, round: usize) -> bool {
        let Faults { drop_out, absence, .. } = self.faults;
        // All clients are present in round 0; otherwise nothing could be checked at the start.
        let first = (round + 1).saturating_sub(absence).max(1);
        drop_out > 0.0
            && (first..=round).any(|round| {
                let label = format!("faults {client} leaves in round {round}");
                seed::stream(self.seed, &label).random::<f64>() < drop_out
            })
    }

    /// Whether the client fails the task, and its extra delay.
    fn draw(&self, task: &Task) -> (bool, Duration) {
        let Task { client, round, attempt, .. } = task;
        let label = format!("faults {client} round {round} attempt {attempt}");
        let mut random = seed::stream(self.seed, &label);
        let fails = random.random::<f64>() < self.faults.fail;
        let straggles = random.random::<f64>() < self.faults.straggle;
        let delay = if straggles { self.faults.delay } else { 0.0 };
        (fails, Duration::from_secs_f64(delay))
    }
}

/// Draws the clients that send poison (for each kind a share of all, rounded) and the attackers (a share of those that
/// train). No client is drawn twice.
fn drawn(
    faults: &Faults,
    seed: u64,
    clients: &[ClientInfo],
) -> (BTreeMap<String, Poison>, BTreeSet<String>) {
    let mut drawn: Vec<(u64, &ClientInfo)> = clients
        .iter()
        .map(|info| {
            let label = format!("faults {} poison", info.id);
            (seed::stream(seed, &label).random::<u64>(), info)
        })
        .collect();
    drawn.sort_unstable_by(|left, right| (left.0, &left.1.id).cmp(&(right.0, &right.1.id)));
    let mut drawn = drawn.into_iter().map(|(_, info)| info);
    let mut poison = BTreeMap::new();
    let count = |share: f64, of: usize| (share * of as f64).round() as usize;
    for (share, kind) in [
        (faults.nan, Poison::Nan),
        (faults.wrong_shape, Poison::WrongShape),
        (faults.huge, Poison::Huge),
        (faults.stale, Poison::Stale),
    ] {
        let poisoners = drawn.by_ref().take(count(share, clients.len()));
        poison.extend(poisoners.map(|info| (info.id.clone(), kind)));
    }
    // A client that never trains has nothing to attack with.
    let trains = |info: &&ClientInfo| info.num_examples > 0;
    let trainers = clients.iter().filter(trains).count();
    let attackers = drawn.filter(trains).take(count(faults.attackers, trainers));
    (poison, attackers.map(|info| info.id.clone()).collect())
}

impl<F: Fleet> Fleet for Faulty<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        let mut clients = self.fleet.clients(round)?;
        clients.retain(|info| !self.is_away(&info.id, round));
        Ok(clients)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let mut delays = BTreeMap::new();
        let mut sound = Vec::with_capacity(tasks.len());
        for task in tasks {
            if task.kind == Kind::Train {
                let (fails, delay) = self.draw(&task);
                if fails {
                    let message = "a simulated failure (faults.fail)";
                    deliver(Answer::failed(&task, Reason::Failed, message));
                    continue;
                }
                delays.insert(task.client.clone(), delay);
            }
            sound.push(task);
        }
        let Self { fleet, poison, .. } = self;
        fleet.exchange(sound, wait, &mut |mut answer| {
            // Only training has delays.
            if let Some(&delay) = delays.get(&answer.client) {
                answer.seconds += delay.as_secs_f64();
                // The delay is simulated: nobody waits for it. The client has trained, and a run that is stopped and
                // resumed must not ask it again, so this is a reply.
                if delay > Duration::ZERO && wait.deadline.is_some_and(|deadline| delay > deadline)
                {
                    let message = "it missed the deadline on purpose (faults.straggle)".to_owned();
                    answer.result = Err(Failure { reason: Reason::Late, message });
                    answer.bytes_up = 0;
                }
                if let Some(&kind) = poison.get(&answer.client) {
                    answer = kind.spoil(answer);
                }
            }
            deliver(answer);
        })
    }

    fn bytes_down(&mut self, task: &Task) -> u64 {
        self.fleet.bytes_down(task)
    }

    fn conclude(&mut self, round: usize, answers: &mut [(&Message, &mut Answer)]) {
        self.fleet.conclude(round, answers);
        let Some(attack) = self.faults.attack else { return };
        let (mut attackers, mut honest) = (Vec::new(), Vec::new());
        for (sent, answer) in answers {
            if answer.round != round || answer.result.is_err() {
                continue;
            }
            if self.attackers.contains(&answer.client) {
                attackers.push((*sent, &mut **answer));
            } else if !self.poison.contains_key(&answer.client) {
                honest.push((*sent, &**answer));
            }
        }
        attack.replace(self.seed, attackers, &honest);
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.fleet.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.fleet.restore(committed)
    }
}

impl Poison {
    fn spoil(self, mut answer: Answer) -> Answer {
        if self == Self::Stale {
            // Round 0 has no previous round.
            answer.round = answer.round.saturating_sub(1);
            return answer;
        }
        let Ok(message) = &mut answer.result else { return answer };
        if let Some(record) = message.records.get_mut(PARAMETERS)
            && let Ok(spoiled) = self.spoiled(record)
        {
            *record = Arc::new(spoiled);
        }
        answer.bytes_up = Message::byte_len(message);
        answer
    }

    fn spoiled(self, record: &ParameterRecord) -> Result<ParameterRecord, RecordError> {
        let mut spoiled = ParameterRecord::new();
        for (index, (name, tensor)) in record.iter().enumerate() {
            let mut values = tensor.to_f32().into_owned();
            let mut shape = tensor.shape().to_vec();
            match self {
                Self::Nan if index == 0 => values.iter_mut().take(1).for_each(|it| *it = f32::NAN),
                Self::WrongShape if index == 0 => {
                    values.push(0.0);
                    shape = vec![values.len()];
                }
                Self::Huge => values.fill(HUGE),
                _ => {}
            }
            spoiled.insert(name, HostTensor::from_f32(shape, values)?.cast(tensor.dtype()))?;
        }
        Ok(spoiled)
    }
}
