//! Runs that are interrupted and resumed in "another process": with new fleet, strategy and files.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use flora_federation::{
    AtRest, Attack, BelowQuorum, ClientSelector, ClientStates, Event, Faults, Faulty,
    FederationError, Listener, Outcome, RoundPolicy, Rounds, RoundsConfig, RunState,
    SelectionConfig, Share, Simulation, StateFolder,
};
use serde_json::Value;

use super::{
    mover::{Hooks, initial, movers},
    server::Momentum,
};

/// A run of stateful clients with faults. Everything that may change its result is fixed here.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) threads: usize,
    pub(crate) at_rest: AtRest,
    pub(crate) share: Share,
    pub(crate) save_every: usize,
    pub(crate) patience: Option<NonZeroUsize>,
    /// The attack of two of the clients.
    pub(crate) attack: Option<Attack>,
    pub(crate) selection: SelectionConfig,
}

impl Setup {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            threads: 2,
            at_rest: AtRest::Memory,
            share,
            save_every: 1,
            patience: None,
            attack: None,
            selection: SelectionConfig::default(),
        }
    }

    pub(crate) fn config(&self) -> RoundsConfig {
        RoundsConfig {
            rounds: 6,
            patience: self.patience,
            seed: 11,
            share: self.share.clone(),
            evaluate_local: true,
            policy: RoundPolicy {
                // Only injected delays take that long.
                deadline: Some(600.0),
                quorum: 3,
                below_quorum: BelowQuorum::Retry,
                retries: 5,
                max_update_norm: None,
            },
            save_every: self.save_every,
        }
    }

    /// One process: resumes from the contents of `folder`, or starts anew.
    pub(crate) fn process(
        &self,
        folder: &Path,
        hooks: &Arc<Hooks>,
        listener: &mut Keeper<'_>,
    ) -> Result<Outcome, FederationError> {
        let path = clients_file(folder);
        let state = match path.exists() {
            true => Some(StateFolder::open(states_folder(folder)).unwrap().load().unwrap()),
            false => None,
        };
        let states = match state {
            Some(_) => ClientStates::open(path).unwrap(),
            None => ClientStates::create(path).unwrap(),
        };
        let clients = movers(9, &self.share, hooks);
        let fleet = Simulation::new(clients, self.threads)?.with_states(states, self.at_rest);
        let faults = Faults {
            fail: 0.15,
            straggle: 0.2,
            drop_out: 0.08,
            absence: 2,
            nan: 0.1,
            stale: 0.1,
            attackers: if self.attack.is_some() { 0.25 } else { 0.0 },
            attack: self.attack,
            ..Faults::default()
        };
        let mut fleet = Faulty::new(fleet, faults, 3)?;
        let mut strategy = Momentum::default();
        let (config, fraction) = (self.config(), ClientSelector { fraction: 0.8, min_clients: 1 });
        let selection = self.selection.selection(fraction);
        let rounds = Rounds::new(&config).with_selection(&*selection).with_stop(hooks.stop.clone());
        match state {
            None => rounds.run(&mut fleet, &mut strategy, initial(), listener),
            Some(loaded) => {
                assert!(loaded.passed_over.is_none());
                rounds.resume(&mut fleet, &mut strategy, loaded.state, listener)
            }
        }
    }
}

pub(crate) fn clients_file(folder: &Path) -> PathBuf {
    folder.join("clients.bin")
}

pub(crate) fn states_folder(folder: &Path) -> PathBuf {
    folder.join("states")
}

/// Saves states in a folder, and events with their seconds set to zero.
pub(crate) struct Keeper<'a> {
    folder: PathBuf,
    pub(crate) events: Vec<Value>,
    /// Called after each saved state, with the number of events so far.
    after: Option<&'a mut dyn FnMut(usize)>,
    pub(crate) kept: usize,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: states_folder(folder), events: Vec::new(), after: None, kept: 0 }
    }

    pub(crate) fn calling(self, after: &'a mut dyn FnMut(usize)) -> Self {
        Self { after: Some(after), ..self }
    }
}

impl Listener for Keeper<'_> {
    fn event(&mut self, event: &Event) {
        // Every process emits its own phases.
        if matches!(event, Event::PhaseFinished { .. }) {
            return;
        }
        let mut event = serde_json::to_value(event).unwrap();
        if let Some(seconds) = event.get_mut("seconds") {
            *seconds = 0.into();
        }
        self.events.push(event);
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let mut folder = StateFolder::open(&self.folder).map_err(|error| error.to_string())?;
        let facts = BTreeMap::from([("rounds".to_owned(), state.rounds_done().to_string())]);
        folder.save(state, &facts).map_err(|error| error.to_string())?;
        self.kept += 1;
        if let Some(after) = &mut self.after {
            after(self.events.len());
        }
        Ok(())
    }
}

/// Everything of an outcome except its seconds, bit by bit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bits {
    last: Vec<u8>,
    best: Vec<u8>,
    history: Vec<[u64; 5]>,
    bytes: (u64, u64),
    rounds: [usize; 3],
}

impl From<&Outcome> for Bits {
    fn from(outcome: &Outcome) -> Self {
        let score = |score: &flora_federation::RoundScore| {
            let loss = score.loss.map_or(0, f64::to_bits);
            let (accuracy, weighted) = (score.accuracy, score.accuracy_weighted);
            let [round, clients] = [score.round as u64, score.num_clients as u64];
            [round, accuracy.to_bits(), weighted.to_bits(), loss, clients]
        };
        Self {
            last: outcome.last.to_safetensors(),
            best: outcome.best.to_safetensors(),
            history: outcome.history.iter().map(score).collect(),
            bytes: (outcome.bytes_up, outcome.bytes_down),
            rounds: [&outcome.initial, &outcome.best_round, &outcome.last_round]
                .map(|score| score.round),
        }
    }
}

/// The outcome and events of an uninterrupted run.
pub(crate) fn uninterrupted(setup: &Setup) -> (Bits, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new(folder.path());
    let outcome = setup.process(folder.path(), &Arc::default(), &mut keeper).unwrap();
    (Bits::from(&outcome), keeper.events)
}

/// Copies the files that a process left, as they are now.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
