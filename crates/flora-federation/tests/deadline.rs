//! Clients that really miss a deadline.

mod support;

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use flora_federation::{
    BelowQuorum, Client, ClientError, ClientInfo, Event, FedAvg, Kind, Message, Reason,
    RoundPolicy, Rounds, RoundsConfig, Simulation, Task,
};
use support::{Pull, record};

/// Blocks until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.lock().unwrap();
        // Keeps the test from hanging.
        let patience = Duration::from_secs(60);
        drop(self.1.wait_timeout_while(open, patience, |open| !*open).unwrap());
    }
}

/// Trains after waiting at a gate or sleeping.
struct Slow {
    inner: Pull,
    gate: Option<Arc<Gate>>,
}

impl Client for Slow {
    fn info(&self) -> ClientInfo {
        self.inner.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        if task.kind == Kind::Train {
            match &self.gate {
                Some(gate) => gate.pass(),
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
        self.inner.handle(task)
    }
}

/// Clients a and b, and the larger z, which waits at the gate.
fn fleet(gate: &Arc<Gate>, threads: usize) -> Simulation {
    let client = |id: &str, examples, gate| -> Box<dyn Client> {
        Box::new(Slow { inner: Pull::new(id, [1.0, 0.5], examples), gate })
    };
    let clients = vec![
        client("a", 10, None),
        client("b", 10, None),
        client("z", 100, Some(Arc::clone(gate))),
    ];
    Simulation::new(clients, threads).unwrap()
}

fn config(rounds: usize, seconds: f64) -> RoundsConfig {
    let policy = RoundPolicy {
        deadline: Some(seconds),
        below_quorum: BelowQuorum::Skip,
        ..RoundPolicy::default()
    };
    RoundsConfig { rounds, policy, ..RoundsConfig::default() }
}

/// Waits until no thread holds the gate any more, so that the workers have ended.
fn wait_for_the_end(gate: &Arc<Gate>) {
    let started = Instant::now();
    while Arc::strong_count(gate) > 1 {
        assert!(started.elapsed() < Duration::from_secs(120), "a worker does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_others_go_on_and_the_late_one_takes_part_again() {
    let gate = Arc::new(Gate::default());
    let mut fleet = fleet(&gate, 2);
    let mut events = Vec::new();
    let outcome = Rounds::new(&config(12, 1.0)).run(
        &mut fleet,
        &mut FedAvg,
        record([0.0, 0.0]),
        &mut |event: &Event| {
            if matches!(event, Event::Evaluated { round: 3, .. }) {
                gate.open();
            }
            events.push(event.clone());
        },
    );
    assert_eq!(outcome.unwrap().history.len(), 13);
    let mut failures = Vec::new();
    let mut replies = Vec::new();
    for event in &events {
        match event {
            Event::ClientFailed { client, reason, message, round } => {
                assert_eq!((client.as_str(), *reason), ("z", Reason::Late));
                failures.push((*round, message.as_str()));
            }
            Event::Aggregated { replies: number, .. } => replies.push(*number),
            _ => {}
        }
    }
    let late = "it had not replied after 1 s, the round's deadline";
    let at_work = "it is still at work on an earlier task";
    let expected = [(0, late), (1, at_work), (1, at_work), (2, at_work), (2, at_work)];
    assert_eq!(failures[..5], expected);
    assert!(failures[5..].iter().all(|it| it.0 >= 3 && it.1 == at_work), "{failures:?}");
    assert_eq!(replies[..3], [2, 2, 2]);
    assert_eq!(replies[11], 3, "{replies:?}");
}

#[test]
fn where_it_takes_the_only_thread_the_run_fails_and_does_not_hang() {
    let gate = Arc::new(Gate::default());
    let mut fleet = fleet(&gate, 1);
    let started = Instant::now();
    let mut events = Vec::new();
    let error = Rounds::new(&config(3, 0.3))
        .run(&mut fleet, &mut FedAvg, record([0.0, 0.0]), &mut |event: &Event| {
            events.push(event.clone());
        })
        .unwrap_err()
        .to_string();
    assert!(started.elapsed() < Duration::from_secs(120));
    assert!(error.contains("evaluation failed after round 1: no client tested"), "{error}");
    let late = |event: &&Event| {
        matches!(event, Event::ClientFailed { round: 0, reason: Reason::Late, .. })
    };
    assert_eq!(events.iter().filter(late).count(), 3);
    gate.open();
    drop(fleet);
    wait_for_the_end(&gate);
}

#[test]
fn a_fleet_can_be_dropped_while_a_client_is_at_work() {
    let gate = Arc::new(Gate::default());
    let mut fleet = fleet(&gate, 2);
    Rounds::new(&config(1, 0.5))
        .run(&mut fleet, &mut FedAvg, record([0.0, 0.0]), &mut |_: &Event| ())
        .unwrap();
    let started = Instant::now();
    drop(fleet);
    assert!(started.elapsed() < Duration::from_secs(60), "it waited for the client");
    assert!(Arc::strong_count(&gate) > 1, "the client is still at work");
    gate.open();
    wait_for_the_end(&gate);
}
