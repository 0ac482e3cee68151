//! At the end, each client's own parameters can be saved.

use std::collections::BTreeMap;

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_federation::{Event, FederationError, RunStatus};
use flora_tuning::{Experiment, Finished, Observer, prepare};

use crate::common::{Images, Listener, bits, outcome};

/// Records the clients' parameters, or refuses.
#[derive(Default)]
struct Keeper {
    events: Vec<Event>,
    clients: Vec<(String, ParameterRecord)>,
    refuses: bool,
}

impl Observer for Keeper {
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }

    fn keep_client(&mut self, client: &str, parameters: &ParameterRecord) -> Result<(), String> {
        self.clients.push((client.to_owned(), parameters.clone()));
        if self.refuses { Err("the disk is full".to_owned()) } else { Ok(()) }
    }
}

fn run(experiment: Experiment, keeper: &mut Keeper) -> Finished {
    prepare(experiment, &Device::flex(), &mut Listener::default()).unwrap().run(keeper)
}

/// The parameters by client; each is passed once.
fn kept(experiment: Experiment) -> BTreeMap<String, ParameterRecord> {
    let mut keeper = Keeper::default();
    let finished = run(experiment, &mut keeper);
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    let count = keeper.clients.len();
    let clients: BTreeMap<_, _> = keeper.clients.into_iter().collect();
    assert_eq!(clients.len(), count, "each once");
    clients
}

#[test]
fn every_client_that_trained_is_told_once() {
    let images = Images::new(2, 1);
    let ids = |set: &[&str]| -> Vec<String> {
        let set = [&["output.keep_clients=true"], set].concat();
        kept(images.experiment(&set)).into_keys().collect()
    };
    assert_eq!(ids(&[]), ["alpha", "beta", "gamma"]);
    assert_eq!(ids(&["federation.client_state=disk"]), ["alpha", "beta", "gamma"]);
    assert_eq!(ids(&["federation.participants=alone"]), ["alpha", "beta", "gamma"]);
    assert_eq!(ids(&["federation.participants=[\"gamma\"]"]), ["gamma"]);
    assert_eq!(ids(&["federation.participants=central"]).len(), 1);
    assert_eq!(ids(&["training.rounds=0"]), [""; 0], "nobody trained");
    assert_eq!(ids(&["training.rounds=1", "federation.fraction=0.3"]).len(), 1, "one was drawn");
    assert!(kept(images.experiment(&[])).is_empty(), "nobody asked for it");
}

/// More clients than are asked at a time.
#[test]
fn a_hundred_clients_are_told() {
    let images = Images::new(9, 1);
    let clients = kept(images.experiment(&[
        "output.keep_clients=true",
        "partition={ kind = 'iid', clients = 100 }",
        "method.loss=class-ce",
        "training.rounds=1",
    ]));
    assert_eq!(clients.len(), 100);
}

/// With one training client, the next global model is the client's own; and the last training counts.
#[test]
fn a_clients_own_parameters_are_those_that_it_sent_last() {
    let images = Images::new(2, 1);
    let set = ["output.keep_clients=true", "federation.participants=[\"beta\"]"];
    let clients = kept(images.experiment(&set));
    let last = outcome(images.experiment(&set)).last;
    assert_eq!(bits(&clients["beta"]), bits(&last));
}

#[test]
fn clients_that_are_alone_keep_the_model_that_they_are_tested_with() {
    let images = Images::new(2, 1);
    for state in ["memory", "disk"] {
        let clients = kept(images.experiment(&[
            "output.keep_clients=true",
            "federation.participants=alone",
            &format!("federation.client_state={state}"),
        ]));
        for (id, parameters) in &clients {
            // As if the others were absent.
            let only = format!("federation.participants=[\"{id}\"]");
            let by_itself = outcome(images.experiment(&[&only])).last;
            assert_eq!(bits(parameters), bits(&by_itself), "{id}, {state}");
        }
    }
}

/// The result of the rounds is still available.
#[test]
fn parameters_that_cannot_be_kept_fail_the_run_but_not_its_result() {
    let images = Images::new(2, 1);
    let set = ["output.keep_clients=true"];
    let mut keeper = Keeper { refuses: true, ..Keeper::default() };
    let finished = run(images.experiment(&set), &mut keeper);
    assert_eq!(finished.status(), RunStatus::Failed);
    assert!(matches!(finished.failure, Some(FederationError::Unwritten(_))));
    assert_eq!(keeper.clients.len(), 1, "the first is enough");
    let expected = outcome(images.experiment(&set));
    let outcome = finished.outcome.expect("all rounds were run");
    assert_eq!(bits(&outcome.last), bits(&expected.last));
    let Some(Event::RunFinished { status, message, last_round, .. }) = keeper.events.last() else {
        panic!("the end is told last");
    };
    assert_eq!(*status, RunStatus::Failed);
    assert_eq!(message.as_deref(), Some("the disk is full"));
    assert_eq!(*last_round, Some(expected.last_round));
}
