//! The in-process fleet: parallel, deterministic, and robust against single clients.

mod support;

use std::{
    sync::{Arc, Barrier, Mutex},
    thread::{self, ThreadId},
};

use flora_federation::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
    Fleet, Simulation,
};
use support::{Fault, Pull, record};

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn instruction(round: usize) -> FitInstruction {
    FitInstruction { round, parameters: Arc::new(record([0.0, 0.0])) }
}

#[test]
fn answers_come_in_the_order_of_the_ids_and_are_told_on_the_callers_thread() {
    let clients = ["a", "b", "c", "d"].map(|id| Pull::new(id, [1.0, 2.0], id.len()).boxed());
    let mut fleet = Simulation::new(clients.into(), 3).unwrap();
    let all: Vec<_> = fleet.clients().into_iter().map(|info| info.id).collect();
    assert_eq!(all, ["a", "b", "c", "d"]);

    let caller = thread::current().id();
    let mut told = Vec::new();
    let answers = fleet.fit(&ids(&["c", "nobody", "a", "c"]), &instruction(0), &mut |answer| {
        assert_eq!(thread::current().id(), caller);
        told.push(answer.as_ref().map_or_else(|e| e.client.clone(), |r| r.client.clone()));
    });
    told.sort();
    assert_eq!(told, ["a", "c", "c", "nobody"]);
    assert_eq!(answers[0].as_ref().unwrap().client, "c");
    assert!(answers[1].as_ref().unwrap_err().to_string().contains("no such client"));
    assert_eq!(answers[2].as_ref().unwrap().client, "a");
    assert!(answers[3].as_ref().unwrap_err().to_string().contains("asked twice"));
}

#[test]
fn a_panic_is_an_error_of_that_client_alone_and_it_is_not_called_again() {
    let clients = vec![
        Pull::new("a", [1.0, 2.0], 5).boxed(),
        Pull::new("b", [1.0, 2.0], 7).with(Fault::FitPanics(0)).boxed(),
    ];
    let mut fleet = Simulation::new(clients, 1).unwrap();
    let answers = fleet.fit(&ids(&["a", "b"]), &instruction(0), &mut |_| {});
    assert!(answers[0].is_ok());
    assert_eq!(
        answers[1].as_ref().unwrap_err().to_string(),
        "client b: it panicked: index 7 is out of bounds"
    );
    let evaluate = EvaluateInstruction { round: 1, parameters: Arc::new(record([0.0, 0.0])) };
    let answers = fleet.evaluate(&ids(&["a", "b"]), &evaluate, &mut |_| {});
    assert!(answers[0].is_ok());
    assert!(answers[1].as_ref().unwrap_err().to_string().contains("earlier call"));
}

#[test]
fn senseless_fleets_are_refused() {
    let client = |id| Pull::new(id, [0.0; 2], 1).boxed();
    for (clients, threads, message) in [
        (vec![], 1, "at least one client"),
        (vec![client("a"), client("b"), client("a")], 1, "named `a`"),
        (vec![client("a")], 0, "threads = 0"),
    ] {
        let error = Simulation::new(clients, threads).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// Waits for all the others, and notes which thread it runs on.
struct Meet {
    id: String,
    signature: String,
    barrier: Arc<Barrier>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
}

impl Client for Meet {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.id.clone(), num_examples: 1, num_test_examples: 0 }
    }

    fn fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, ClientError> {
        self.barrier.wait();
        self.threads.lock().unwrap().push(thread::current().id());
        Ok(FitReply {
            client: self.signature.clone(),
            parameters: instruction.parameters.as_ref().clone(),
            num_examples: 1,
            metrics: Default::default(),
            seconds: 0.0,
        })
    }

    fn evaluate(&mut self, _: &EvaluateInstruction) -> Result<EvaluateReply, ClientError> {
        Err(ClientError::new(&self.id, "not asked here"))
    }
}

#[test]
fn clients_run_at_the_same_time_on_threads_that_are_kept_and_cannot_pose_as_another() {
    let barrier = Arc::new(Barrier::new(3));
    let threads = Arc::new(Mutex::new(Vec::new()));
    let client = |id: &str, signature: &str| -> Box<dyn Client> {
        Box::new(Meet {
            id: id.to_owned(),
            signature: signature.to_owned(),
            barrier: Arc::clone(&barrier),
            threads: Arc::clone(&threads),
        })
    };
    let clients = vec![client("a", "a"), client("b", "a"), client("c", "c")];
    // More threads than clients: no more than needed are started. Fewer than three workers would
    // wait at the barrier for ever.
    let mut fleet = Simulation::new(clients, 64).unwrap();
    assert!(format!("{fleet:?}").contains("threads: 3"));
    for round in 0..2 {
        let answers = fleet.fit(&ids(&["a", "b", "c"]), &instruction(round), &mut |_| {});
        assert!(answers[0].is_ok() && answers[2].is_ok());
        let error = answers[1].as_ref().unwrap_err().to_string();
        assert_eq!(error, "client b: it signed its reply as `a`");
    }
    let mut threads = threads.lock().unwrap().clone();
    assert_eq!(threads.len(), 6);
    threads.sort_by_key(|id| format!("{id:?}"));
    threads.dedup();
    assert_eq!(threads.len(), 3);
}
