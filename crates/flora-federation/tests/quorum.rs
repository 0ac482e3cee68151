//! Rounds with too few replies.

mod support;

use flora_federation::{
    BelowQuorum, Client, ClientSelector, Event, FedAvg, FederationError, Named, Outcome, Poisson,
    RoundPolicy, Rounds, RoundsConfig, Selection, Simulation, Stage,
};
use support::{Fault, Pull, names, record, w};

type Run = (Result<Outcome, FederationError>, Vec<Event>);

fn run(clients: Vec<Box<dyn Client>>, fraction: f64, rounds: usize, policy: RoundPolicy) -> Run {
    run_with(clients, &ClientSelector { fraction, min_clients: 1 }, rounds, policy)
}

fn run_with(
    clients: Vec<Box<dyn Client>>,
    selection: &dyn Selection,
    rounds: usize,
    policy: RoundPolicy,
) -> Run {
    let mut fleet = Simulation::new(clients, 2).unwrap();
    let config = RoundsConfig { rounds, seed: 4, policy, ..RoundsConfig::default() };
    let mut events = Vec::new();
    let mut listener = |event: &Event| events.push(event.clone());
    let rounds = Rounds::new(&config).with_selection(selection);
    let result = rounds.run(&mut fleet, &mut FedAvg, record([0.0, 0.0]), &mut listener);
    (result, events)
}

fn policy(quorum: usize, below_quorum: BelowQuorum, retries: usize) -> RoundPolicy {
    RoundPolicy { quorum, below_quorum, retries, ..RoundPolicy::default() }
}

/// Eight clients, of which the first two have this fault.
fn eight(fault: Fault) -> Vec<Box<dyn Client>> {
    let client = |number: usize| {
        let client = Pull::new(&format!("c{number}"), [1.0, 0.5], 10);
        if number < 2 { client.with(fault).boxed() } else { client.boxed() }
    };
    (0..8).map(client).collect()
}

fn all(fault: Fault) -> Vec<Box<dyn Client>> {
    let client = |number| Pull::new(&format!("c{number}"), [1.0, 0.5], 10).with(fault).boxed();
    (0..8).map(client).collect()
}

/// Round, number of accepted replies, consequence and message of each `BelowQuorum`.
fn told(events: &[Event]) -> Vec<(usize, usize, BelowQuorum, String)> {
    let of = |event: &Event| match event {
        Event::BelowQuorum { round, accepted, then, message, .. } => {
            Some((*round, *accepted, *then, message.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn selections(events: &[Event]) -> Vec<(usize, Vec<String>)> {
    let of = |event: &Event| match event {
        Event::RoundStarted { round, selected } => Some((*round, selected.clone())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn a_round_is_tried_again_with_others() {
    let (outcome, events) =
        run(all(Fault::FailsAttempts(2)), 0.5, 2, policy(3, BelowQuorum::Retry, 2));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.history.len(), 3);
    let told = told(&events);
    let kinds: Vec<_> = told.iter().map(|it| (it.0, it.1, it.2)).collect();
    use BelowQuorum::Retry;
    assert_eq!(kinds, [(0, 0, Retry), (0, 0, Retry), (1, 0, Retry), (1, 0, Retry)]);
    assert!(told[0].3.contains("the disk is full (and 3 more)"), "{}", told[0].3);
    let drawn = selections(&events);
    assert_eq!(drawn.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
    assert!(drawn.iter().all(|it| it.1.len() == 4));
    assert_ne!(drawn[0].1, drawn[1].1);
    assert_ne!(drawn[1].1, drawn[2].1);
    // Four are sent 8 bytes in each of six attempts, and answer in two.
    assert_eq!((outcome.bytes_down, outcome.bytes_up), (6 * 4 * 8, 2 * 4 * 8));
    // A failed round leaves no trace in the model.
    let [x, _] = w(&outcome.last);
    assert!((x - 0.51).abs() < 1e-6, "{x}");
}

#[test]
fn after_so_many_tries_the_run_fails() {
    let (result, events) =
        run(all(Fault::FailsAttempts(3)), 0.5, 2, policy(3, BelowQuorum::Retry, 2));
    let error = result.unwrap_err();
    assert!(matches!(error, FederationError::RoundFailed { stage: Stage::Training, .. }));
    assert!(error.to_string().contains("no client trained: client c"), "{error}");
    assert_eq!(error.partial().unwrap().outcome.as_ref().unwrap().history.len(), 1);
    let then: Vec<_> = told(&events).into_iter().map(|it| it.2).collect();
    assert_eq!(then, [BelowQuorum::Retry, BelowQuorum::Retry, BelowQuorum::Fail]);
}

#[test]
fn a_round_that_is_skipped_changes_nothing() {
    // Seven are enough in round 0 and 1; from round 1 on, two of eight fail.
    let (outcome, events) = run(eight(Fault::FitFails(1)), 1.0, 3, policy(7, BelowQuorum::Skip, 0));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.history.len(), 4);
    let told = told(&events);
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].0, told[0].1, told[0].2), (1, 6, BelowQuorum::Skip));
    assert_eq!(told[0].3, "missing: c0, c1");
    assert_eq!(names(&events).iter().filter(|name| *name == "aggregated").count(), 1);
    let [x, y] = w(&outcome.last);
    assert!((x - 0.3).abs() < 1e-6 && (y - 0.15).abs() < 1e-6, "{x} {y}");
    let accuracies: Vec<f64> = outcome.history.iter().map(|score| score.accuracy).collect();
    assert_eq!(accuracies[1..], [accuracies[1]; 3]);
    assert_eq!(outcome.best_round.round, 1, "the earliest of equals");
}

/// An independent draw for each client may select none. That is a valid round, whatever the policy.
#[test]
fn a_round_whose_draw_selects_nobody_is_skipped() {
    use BelowQuorum::{Fail, Retry, Skip};
    for then in [Fail, Retry, Skip] {
        let policy = policy(1, then, 3);
        let (outcome, events) = run_with(all(Fault::None), &Poisson { rate: 0.15 }, 12, policy);
        let outcome = outcome.unwrap();
        let selections = selections(&events);
        let rounds: Vec<usize> = selections.iter().map(|it| it.0).collect();
        assert_eq!(rounds, (0..12).collect::<Vec<_>>(), "each once");
        let empty = selections.iter().filter(|it| it.1.is_empty()).map(|it| it.0);
        let empty: Vec<usize> = empty.collect();
        // Expected in a quarter of the rounds, 0.85 to the eighth; this draw has nine.
        assert_eq!(empty.len(), 9, "{empty:?}");
        let told = told(&events);
        assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), empty);
        for (round, accepted, then, message) in told {
            assert_eq!((accepted, then), (0, Skip));
            assert_eq!(message, "no client trained: the draw selected no client");
            let [before, after] = [round, round + 1].map(|at| outcome.history[at]);
            assert_eq!((before.accuracy, before.loss), (after.accuracy, after.loss));
        }
        assert_eq!(outcome.history.len(), 13);
        let trained: usize = selections.iter().map(|it| it.1.len()).sum();
        assert_eq!(outcome.bytes_up, trained as u64 * 8);
    }
}

#[test]
fn a_client_that_is_not_there_is_named_before_the_first_round() {
    let named = |ids: [&str; 2]| Named { clients: ids.map(str::to_owned).into() };
    let run = |ids| run_with(all(Fault::None), &named(ids), 2, policy(2, BelowQuorum::Fail, 0));
    let (result, events) = run(["c1", "d1"]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("federation.selection.clients: no client"), "{error}");
    assert!(error.contains("\"d1\"") && events.is_empty(), "{error}");
    let (outcome, events) = run(["c4", "c1"]);
    assert_eq!(outcome.unwrap().history.len(), 3);
    let both = ["c1", "c4"].map(str::to_owned).to_vec();
    assert_eq!(selections(&events), [(0, both.clone()), (1, both)]);
}

#[test]
fn too_few_answers_fail_the_run_and_name_who_is_missing() {
    let (result, events) = run(eight(Fault::FitFails(1)), 1.0, 3, policy(7, BelowQuorum::Fail, 9));
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "training failed in round 2: 6 replies were accepted, fewer than the quorum of 7; \
         missing: c0, c1"
    );
    let told = told(&events);
    assert_eq!((told.len(), told[0].2), (1, BelowQuorum::Fail));
    let failed = names(&events).iter().filter(|name| *name == "client_failed").count();
    assert_eq!(failed, 2);
}

#[test]
fn a_quorum_of_nobody_is_refused() {
    let error = run(all(Fault::None), 1.0, 1, policy(0, BelowQuorum::Skip, 0)).0.unwrap_err();
    assert!(error.to_string().contains("federation.quorum"), "{error}");
}
