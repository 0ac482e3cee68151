//! A run that is stopped in the middle of a step continues with the clients that have not replied.

mod support;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use flora_federation::{AtRest, Attack, FederationError, SelectionConfig, Share};
use support::{
    mover::{Call, Hooks},
    process::{Bits, Keeper, Setup, uninterrupted},
};

/// Resumes as often as needed; each process stops in the call that `next` returns, where 0 means never. Returns the
/// combined result of all processes, and their number.
fn interrupted(
    setup: &Setup,
    folder: &Path,
    mut next: impl FnMut() -> usize,
) -> (Bits, Vec<serde_json::Value>, Vec<Call>, usize) {
    let (mut events, mut calls) = (Vec::new(), Vec::new());
    for process in 1..500 {
        let hooks = Hooks::stopping_after(next());
        let mut keeper = Keeper::new(folder);
        let result = setup.process(folder, &hooks, &mut keeper);
        events.append(&mut keeper.events);
        calls.append(&mut hooks.calls.lock().unwrap());
        match result {
            Ok(outcome) => return (Bits::from(&outcome), events, calls, process),
            Err(FederationError::Stopped { .. }) => {
                assert!(hooks.stop.is_raised() && keeper.kept > 0);
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the run makes no progress")
}

fn check(setup: &Setup, what: &str, next: impl FnMut() -> usize) -> usize {
    let selection = setup.selection.clone();
    let uncut = Setup { attack: setup.attack, selection, ..Setup::new(setup.share.clone()) };
    let (bits, events) = uninterrupted(&uncut);
    let folder = tempfile::tempdir().unwrap();
    let (stopped, told, calls, processes) = interrupted(setup, folder.path(), next);
    for (at, (told, expected)) in told.iter().zip(&events).enumerate() {
        assert_eq!(told, expected, "{what}: event {at}");
    }
    assert_eq!(told.len(), events.len(), "{what}");
    assert_eq!(stopped, bits, "{what}");
    let distinct: BTreeSet<&Call> = calls.iter().collect();
    assert_eq!(distinct.len(), calls.len(), "{what}: nobody is asked twice");
    processes
}

fn shares() -> [Share; 3] {
    [Share::All, Share::Nothing, Share::Matching(vec!["body".to_owned()])]
}

fn calls(setup: &Setup) -> usize {
    let (folder, hooks) = (tempfile::tempdir().unwrap(), Arc::default());
    setup.process(folder.path(), &hooks, &mut Keeper::new(folder.path())).unwrap();
    hooks.calls.lock().unwrap().len()
}

#[test]
fn a_run_may_be_stopped_in_every_call() {
    for (share, at_rest, threads) in [
        (Share::All, AtRest::Disk, 1),
        (Share::Nothing, AtRest::Memory, 3),
        (Share::Matching(vec!["body".to_owned()]), AtRest::Disk, 2),
    ] {
        let setup = Setup { at_rest, threads, ..Setup::new(share.clone()) };
        let all = calls(&setup);
        assert!(all > 70, "{all}");
        for calls in 1..=all {
            let mut left = Some(calls);
            let what = format!("{share:?} {at_rest:?} {threads} in call {calls} of {all}");
            let processes = check(&setup, &what, || left.take().unwrap_or(0));
            // If the last clients are working already, nothing is left to do.
            let expected = if calls + threads <= all { 2..=2 } else { 1..=2 };
            assert!(expected.contains(&processes), "{what}");
        }
    }
}

#[test]
fn a_run_may_be_stopped_again_and_again() {
    for share in shares() {
        for (at_rest, threads, save_every) in
            [(AtRest::Memory, 1, 1), (AtRest::Disk, 2, 3), (AtRest::Memory, 4, 2)]
        {
            let share = share.clone();
            let setup = Setup { share, at_rest, threads, save_every, ..Setup::new(Share::All) };
            for calls in [1, 2, 5, 13] {
                let what = format!("{:?} {at_rest:?} {threads} every {calls} calls", setup.share);
                let processes = check(&setup, &what, || calls);
                assert!(processes >= 3, "{what}: {processes} processes");
            }
        }
    }
}

/// Attackers agree on their replies when all have arrived, some of them in an earlier process.
#[test]
fn a_run_under_attack_may_be_stopped_again_and_again() {
    let setup = |attack| Setup { attack, ..Setup::new(Share::All) };
    let mut results = vec![uninterrupted(&setup(None)).0];
    for attack in [
        Attack::SignFlip { factor: 1.0 },
        Attack::Scaled { factor: 5.0 },
        Attack::GaussianNoise { std: 0.5 },
        Attack::LittleIsEnough { z: Some(1.5) },
        Attack::InnerProduct { epsilon: 2.0 },
    ] {
        let attacked = setup(Some(attack));
        for (threads, calls) in [(1, 1), (1, 4), (2, 5), (4, 3)] {
            let setup = Setup { threads, ..attacked.clone() };
            let what = format!("{attack:?} {threads} every {calls} calls");
            assert!(check(&setup, &what, || calls) >= 3, "{what}");
        }
        let bits = uninterrupted(&attacked).0;
        assert!(!results.contains(&bits), "{attack:?} changes nothing");
        results.push(bits);
    }
    let flipped = uninterrupted(&setup(Some(Attack::LabelFlip {}))).0;
    assert!(results.contains(&flipped), "it is for the clients to flip labels");
}

/// Losses that decide the selection are part of the state, and a draw of no client is a round.
#[test]
fn a_run_of_every_selection_may_be_stopped_again_and_again() {
    let setup = |selection| Setup { selection, ..Setup::new(Share::All) };
    let mut results = vec![uninterrupted(&setup(SelectionConfig::default()))];
    for selection in [
        SelectionConfig::PowerOfChoice { rate: 0.7, candidates: 8 },
        SelectionConfig::DynamicSampling { rate: 1.0, decay: 0.05, floor: 6 },
        SelectionConfig::Poisson { rate: 0.8 },
        SelectionConfig::Named {
            clients: ["c0", "c1", "c2", "c3", "c4", "c7", "c8"].map(str::to_owned).into(),
        },
    ] {
        for (threads, calls) in [(1, 1), (1, 4), (2, 5), (4, 3)] {
            let setup = Setup { threads, ..setup(selection.clone()) };
            let what = format!("{selection:?} {threads} every {calls} calls");
            assert!(check(&setup, &what, || calls) >= 3, "{what}");
        }
        let result = uninterrupted(&setup(selection.clone()));
        assert!(!results.contains(&result), "{selection:?} changes nothing");
        results.push(result);
    }
}

/// Stopped twice before any client was asked: the replies collected before stay.
#[test]
fn a_stop_that_is_raised_already_keeps_what_was_begun() {
    let setup = Setup { threads: 1, ..Setup::new(Share::All) };
    let (bits, events) = uninterrupted(&setup);
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let mut asked = 0;
    // In the middle of a training: 9 have tested.
    for (calls, raised) in [(12, false), (0, true), (0, true), (0, false)] {
        let hooks = Hooks::stopping_after(calls);
        if raised {
            hooks.stop.raise();
        }
        let mut keeper = Keeper::new(folder.path());
        let result = setup.process(folder.path(), &hooks, &mut keeper);
        told.append(&mut keeper.events);
        asked += hooks.calls.lock().unwrap().len();
        match result {
            Ok(outcome) => assert_eq!(Bits::from(&outcome), bits),
            Err(FederationError::Stopped { round, partial }) => {
                assert_eq!(round, 0);
                assert_eq!(partial.outcome.unwrap().history.len(), 1);
                assert_eq!(asked, 12);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(told, events);
}

/// A run that saves nothing can be stopped, too, and returns its results.
#[test]
fn a_run_without_states_can_be_stopped() {
    let setup = Setup { save_every: 0, ..Setup::new(Share::All) };
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new(folder.path());
    let error = setup.process(folder.path(), &Hooks::stopping_after(20), &mut keeper).unwrap_err();
    assert!(error.to_string().contains("stopped in round"), "{error}");
    assert_eq!(keeper.kept, 0);
    assert!(error.partial().unwrap().outcome.is_some());
}
