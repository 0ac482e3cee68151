//! A hundred clients, of which a third fails in every round and a tenth sends invalid replies.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use flora_federation::{
    Client, Event, Faults, Faulty, FedAvg, Outcome, Reason, RoundPolicy, Rounds, RoundsConfig,
    Simulation,
};
use support::{Pull, record};

const CLIENTS: usize = 100;

fn run(faults: Faults, seed: u64) -> (Outcome, Vec<Event>) {
    let client = |number: usize| -> Box<dyn Client> {
        let noise = |k: usize| 0.1 * ((number * 7 + k) as f32).sin();
        let target = [1.0 + noise(0), 0.5 + noise(1)];
        Pull::new(&format!("c{number:03}"), target, 5 + number % 40).boxed()
    };
    let fleet = Simulation::new((0..CLIENTS).map(client).collect(), 2).unwrap();
    let mut fleet = Faulty::new(fleet, faults, seed).unwrap();
    let policy = RoundPolicy { deadline: Some(60.0), quorum: 10, ..RoundPolicy::default() };
    let config = RoundsConfig { rounds: 20, policy, ..RoundsConfig::default() };
    let mut events = Vec::new();
    let mut listener = |event: &Event| events.push(event.clone());
    let outcome =
        Rounds::new(&config).run(&mut fleet, &mut FedAvg, record([0.0, 0.0]), &mut listener);
    (outcome.unwrap(), events)
}

/// The words in the message of a fault with this name.
fn cause(reason: Reason, message: &str) -> &'static str {
    let causes = [
        (Reason::Failed, "simulated failure (faults.fail)", "fail"),
        (Reason::Late, "missed the deadline on purpose (faults.straggle)", "straggle"),
        (Reason::Refused, "`w` holds NaN", "nan"),
        (Reason::Refused, "`w` has shape [3], expected [2]", "wrong_shape"),
        (Reason::Refused, "the norm of its update is", "huge"),
        (Reason::Refused, "it replies to round", "stale"),
    ];
    let found = causes.iter().find(|cause| cause.0 == reason && message.contains(cause.1));
    found.unwrap_or_else(|| panic!("{reason:?}: {message}")).2
}

#[test]
fn the_run_finishes_and_accounts_for_every_client_of_every_round() {
    let faults = Faults {
        fail: 0.3,
        straggle: 0.1,
        delay: 61.0,
        drop_out: 0.05,
        absence: 1,
        nan: 0.025,
        wrong_shape: 0.025,
        huge: 0.025,
        stale: 0.025,
        ..Faults::default()
    };
    let (clean, _) = run(Faults::default(), 1);
    for seed in 0..5 {
        let (outcome, events) = run(faults, seed);
        let (accuracy, expected) = (outcome.last_round.accuracy, clean.last_round.accuracy);
        assert!((accuracy - expected).abs() < 0.02, "{accuracy}, clean: {expected}");

        let mut selected: BTreeSet<String> = BTreeSet::new();
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut liars: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rounds = 0;
        for event in &events {
            match event {
                Event::RoundStarted { selected: who, round } => {
                    assert_eq!(*round, rounds);
                    selected = who.iter().cloned().collect();
                    failed.clear();
                    assert!(selected.len() < CLIENTS || rounds == 0, "some have left");
                    assert!(selected.len() > CLIENTS * 8 / 10);
                }
                Event::ClientFailed { round, client, reason, message } => {
                    assert_eq!(*round, rounds, "evaluations are not disturbed");
                    assert!(selected.contains(client) && failed.insert(client.clone()));
                    let cause = cause(*reason, message);
                    *counts.entry(cause).or_default() += 1;
                    if *reason == Reason::Refused {
                        liars.entry(cause).or_default().insert(client.clone());
                    }
                }
                Event::Aggregated { round, replies, .. } => {
                    assert_eq!(*round, rounds);
                    assert_eq!(replies + failed.len(), selected.len());
                    rounds += 1;
                }
                Event::BelowQuorum { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        assert_eq!(rounds, 20);
        // A fortieth of a hundred, rounded, is three; no client has two faults.
        let numbers: Vec<(&str, usize)> = liars.iter().map(|it| (*it.0, it.1.len())).collect();
        assert_eq!(numbers, [("huge", 3), ("nan", 3), ("stale", 3), ("wrong_shape", 3)]);
        assert_eq!(liars.values().flatten().collect::<BTreeSet<_>>().len(), 12);
        // Of about 1,900 tasks, 30 % fail and 7 % are late.
        assert!((470..670).contains(&counts["fail"]), "{counts:?}");
        assert!((80..190).contains(&counts["straggle"]), "{counts:?}");
    }
}
