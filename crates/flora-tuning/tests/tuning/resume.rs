//! A run that is resumed from any of its states gives the bits and events of an uninterrupted one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_federation::{Answer, Event, Outcome, RunState, RunStatus, StateFolder, Stop};
use flora_tuning::{Experiment, Finished, Observer, Prepared, prepare};
use tempfile::TempDir;

use crate::common::{Images, Listener, bits};
use crate::methods::{STEPPING, TRAINED, named};

const PARTICIPANTS: [&str; 4] = ["all", "central", "alone", "[\"alpha\", \"gamma\"]"];

/// Keeps every state of a run, and the events before it.
struct Keeper {
    folder: TempDir,
    events: Vec<Event>,
    /// The number of events before each state.
    kept_at: Vec<usize>,
    stop: Stop,
    /// The number of answers before the run is asked to stop.
    patience: Option<usize>,
}

impl Keeper {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (events, kept_at) = (Vec::new(), Vec::new());
        Self { folder, events, kept_at, stop: Stop::default(), patience: None }
    }

    /// The file of the run's client states.
    fn states(&self) -> PathBuf {
        self.folder.path().join("clients.bin")
    }

    fn place(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    fn run(&mut self, experiment: &Experiment) -> Finished {
        let prepared = prepared(experiment, &self.states()).with_stop(self.stop.clone());
        prepared.run(self)
    }
}

impl Observer for Keeper {
    fn event(&mut self, event: &Event) {
        self.events.push(untimed(event.clone()));
    }

    fn answered(&mut self, _answer: &Answer, _done: usize, _of: usize) {
        if let Some(patience) = &mut self.patience {
            *patience -= 1;
            if *patience == 0 {
                self.stop.raise();
                self.patience = None;
            }
        }
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let place = self.place(self.kept_at.len());
        let mut folder = StateFolder::open(&place).unwrap();
        folder.save(state, &BTreeMap::new()).unwrap();
        std::fs::copy(self.states(), place.join("clients.bin")).unwrap();
        self.kept_at.push(self.events.len());
        Ok(())
    }
}

/// The event without the values that differ between any two runs.
pub(crate) fn untimed(mut event: Event) -> Event {
    if let Event::ClientReplied { seconds, .. }
    | Event::Aggregated { seconds, .. }
    | Event::Evaluated { seconds, .. }
    | Event::PhaseFinished { seconds, .. }
    | Event::RunFinished { seconds, .. } = &mut event
    {
        *seconds = 0.0;
    }
    event
}

fn prepared(experiment: &Experiment, states: &Path) -> Prepared {
    let observer = &mut Listener::default();
    prepare(experiment.clone(), &Device::flex(), observer).unwrap().with_states_in(states)
}

fn whole(finished: Finished, what: &str) -> Outcome {
    assert!(finished.failure.is_none(), "{what}: {}", finished.failure.unwrap());
    finished.outcome.unwrap()
}

/// Resumes from a saved state, and compares with the uninterrupted run.
fn assert_same(
    experiment: &Experiment,
    (kept, number): (&Keeper, usize),
    (expected, told): (&Outcome, &[Event]),
    what: &str,
) {
    let what = format!("{what}, state {number}");
    let place = kept.place(number);
    let state = StateFolder::open(&place).unwrap().load().unwrap().state;
    let mut rest = Listener::default();
    let prepared = prepared(experiment, &place.join("clients.bin"));
    let outcome = whole(prepared.resume(state, &mut rest), &what);
    // A file has the tensors in its own order.
    let named = |record| BTreeMap::from_iter(bits(record));
    assert!(named(&outcome.last) == named(&expected.last), "{what}");
    assert!(named(&outcome.best) == named(&expected.best), "{what}");
    assert_eq!(outcome.history, expected.history, "{what}");
    let sent = |outcome: &Outcome| (outcome.bytes_up, outcome.bytes_down);
    assert_eq!(sent(&outcome), sent(expected), "{what}");
    let before = kept.events[..kept.kept_at[number]].iter().cloned();
    let events: Vec<Event> = before.chain(rest.events.into_iter().map(untimed)).collect();
    assert_eq!(events.len(), told.len(), "{what}");
    for (event, expected) in events.iter().zip(told) {
        assert_eq!(event, expected, "{what}");
    }
}

/// Resumes every state of a run of this experiment, including the first and the last.
fn assert_resumes_anywhere(experiment: &Experiment, states: usize, what: &str) {
    let mut keeper = Keeper::new();
    let expected = whole(keeper.run(experiment), what);
    assert_eq!(keeper.kept_at.len(), states, "{what}");
    assert_ne!(expected.history[0].loss, expected.history.last().unwrap().loss, "{what}");
    for number in 0..states {
        assert_same(experiment, (&keeper, number), (&expected, &keeper.events), what);
    }
}

fn every_method(client_state: &str) {
    let images = Images::new(2, 1);
    for name in TRAINED {
        // Methods in closed form have one round with all clients.
        let steps = STEPPING.contains(&name);
        let (fraction, states) = if steps { ("0.6", 5) } else { ("1.0", 3) };
        for participants in PARTICIPANTS {
            let experiment = images.experiment(&[
                &named(name),
                &format!("federation.participants={participants}"),
                &format!("federation.client_state={client_state}"),
                &format!("federation.fraction={fraction}"),
                "training.rounds=3",
            ]);
            // Before anything, and after each evaluation.
            assert_resumes_anywhere(&experiment, states, &format!("{name}, {participants}"));
        }
    }
}

#[test]
fn every_method_resumes_with_states_in_memory() {
    every_method("memory");
}

#[test]
fn every_method_resumes_with_states_on_disk() {
    every_method("disk");
}

#[test]
fn every_strategy_resumes() {
    let images = Images::new(2, 1);
    for strategy in [
        "{ kind = \"fedavgm\", server_momentum = 0.9 }",
        "fedadam",
        "fedyogi",
        "fedadagrad",
        "{ kind = \"fedprox\", proximal_mu = 0.1, rule = \"median\" }",
        "{ kind = \"norm-clipping\", bound = 0.01 }",
        "{ kind = \"trimmed-mean\", beta = 0.34 }",
        "krum",
        "{ kind = \"multi-krum\", num_nodes_to_select = 2 }",
        "bulyan",
        "geometric-median",
        "fedrot",
        "ffa",
        "rolora",
        "fedsvd",
        "lora-fair",
        "fedsa",
        "fed-sb",
        "{ kind = \"fed-sb\", bases = \"random\" }",
        "fedex",
        "stacking",
        "{ kind = \"stacking\", ranks = [2, 1, 2] }",
        "{ kind = \"flexlora\", ranks = [1, 2, 2], average = \"raflora\" }",
        "{ kind = \"hetlora\", ranks = [1, 2, 2] }",
        "{ kind = \"fedavgm\", server_momentum = 0.5, rule = \"ffa\" }",
        "{ kind = \"fedavgm\", server_momentum = 0.5, rule = \"fedsa\" }",
    ] {
        let set = format!("federation.strategy={strategy}");
        let experiment = images.experiment(&[&set, "training.rounds=3"]);
        assert_resumes_anywhere(&experiment, 5, strategy);
    }
    let set = ["federation.strategy=scaffold", "training.optimizer=sgd", "training.rounds=3"];
    assert_resumes_anywhere(&images.experiment(&set), 5, "scaffold");
    // Clients of different sizes take different numbers of steps.
    for momentum in ["0.0", "0.9"] {
        let momentum = format!("training.momentum={momentum}");
        let uneven = "partition={ kind = \"dirichlet\", clients = 3, beta = 0.5 }";
        let rounds = "training.rounds=3";
        let set =
            ["federation.strategy=fednova", "training.optimizer=sgd", uneven, rounds, &momentum];
        assert_resumes_anywhere(&images.experiment(&set), 5, "fednova");
    }
}

/// Compression errors, noise, and the spent budget.
#[test]
fn whatever_travels_and_is_hidden_resumes() {
    let images = Images::new(3, 1);
    for travel in [
        &["federation.upload=top-k"][..],
        &["federation.secure={}", "federation.download=int8"],
        &["federation.upload={ kind = \"eden\", bits = 1 }", "federation.download=int4"],
        &["federation.upload=ternary", "federation.client_state=disk"],
        &["federation.privacy={ kind = \"central\", clip = 0.1, noise = 0.2, adaptive = {} }"],
        &[
            "federation.privacy={ kind = \"local\", clip = 0.1, epsilon = 50.0 }",
            "federation.upload=int8",
        ],
        &["federation.privacy={ kind = \"sample\", epsilon = 8.0 }", "method.loss=class-ce"],
    ] {
        let experiment = images.experiment(&[travel, &["training.rounds=3"]].concat());
        assert_resumes_anywhere(&experiment, 5, travel[0]);
    }
}

#[test]
fn states_of_some_rounds_only_do_as_well() {
    let images = Images::new(2, 1);
    let set = ["output.save_every=2", "training.rounds=3"];
    // Before anything, after the rounds 0 and 2, and at the end.
    assert_resumes_anywhere(&images.experiment(&set), 4, "every other round");
}

/// Steps too small to change a prediction: the loss changes, and the score does not.
pub(crate) const NO_BETTER: [&str; 4] = [
    "data.validation=0.25",
    "training.rounds=9",
    "training.patience=2",
    "training.learning_rate=1e-6",
];

#[test]
fn a_run_that_ends_early_does_so_from_every_state() {
    let images = Images::new(4, 1);
    // Before anything, and after the rounds 0 to 2.
    assert_resumes_anywhere(&images.experiment(&NO_BETTER), 4, "ends early");
}

/// Three clients are tested, trained and tested: wherever the run is stopped, nothing is lost.
#[test]
fn a_run_that_is_stopped_amid_a_round_goes_on_with_the_answers_it_has() {
    let images = Images::new(2, 1);
    for participants in ["all", "alone"] {
        for client_state in ["memory", "disk"] {
            let experiment = images.experiment(&[
                &format!("federation.participants={participants}"),
                &format!("federation.client_state={client_state}"),
                "federation.threads=1",
            ]);
            let mut keeper = Keeper::new();
            let expected = whole(keeper.run(&experiment), participants);
            // Of 15: the last test may be finished before the run sees the stop.
            for answers in 1..=12 {
                let what = format!("{participants}, {client_state}, {answers} answers");
                let mut stopped = Keeper { patience: Some(answers), ..Keeper::new() };
                assert_eq!(stopped.run(&experiment).status(), RunStatus::Interrupted, "{what}");
                let last = stopped.kept_at.len() - 1;
                assert_same(&experiment, (&stopped, last), (&expected, &keeper.events), &what);
            }
        }
    }
}

/// Clients that started anew would give another result.
#[test]
fn the_states_of_the_clients_must_be_those_of_the_run() {
    let images = Images::new(2, 1);
    for client_state in ["memory", "disk"] {
        let client_state = format!("federation.client_state={client_state}");
        let experiment = images.experiment(&[&client_state, "training.rounds=3"]);
        let mut keeper = Keeper::new();
        whole(keeper.run(&experiment), &client_state);
        // After two rounds: without a file, with none there, and with that of an earlier moment.
        let state = || StateFolder::open(keeper.place(3)).unwrap().load().unwrap().state;
        let resume = |prepared: Prepared| {
            let finished = prepared.resume(state(), &mut Listener::default());
            assert!(finished.outcome.is_none_or(|outcome| outcome.history.len() == 3));
            finished.failure.expect("it cannot go on").to_string()
        };
        let prepare = || prepare(experiment.clone(), &Device::flex(), &mut Listener::default());
        let without = resume(prepare().unwrap());
        assert!(without.contains("with_states_in"), "{without}");
        for place in [keeper.folder.path().join("nowhere"), keeper.place(1)] {
            let file = place.join("clients.bin");
            let message = resume(prepared(&experiment, &file));
            assert!(message.contains(file.to_str().unwrap()), "{message}");
        }
    }
}
