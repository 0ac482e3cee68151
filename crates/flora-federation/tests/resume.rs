//! A run that another process resumes is bit-identical to an uninterrupted one.

mod support;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use flora_federation::{AtRest, Share};
use serde_json::Value;
use support::process::{Bits, Keeper, Setup, clients_file, copy, states_folder, uninterrupted};

fn shares() -> [Share; 3] {
    [Share::All, Share::Nothing, Share::Matching(vec!["body".to_owned()])]
}

/// A copy of the folder when a state had just been saved, and the number of events by then.
struct Snapshot {
    folder: PathBuf,
    events: usize,
}

/// The uninterrupted run, with a snapshot of each state.
fn snapshots(setup: &Setup, place: &Path) -> (Bits, Vec<Value>, Vec<Snapshot>) {
    let run = place.join("run");
    std::fs::create_dir(&run).unwrap();
    let mut snapshots = Vec::new();
    let mut take = |events| {
        let folder = place.join(format!("snapshot {}", snapshots.len()));
        copy(&run, &folder);
        snapshots.push(Snapshot { folder, events });
    };
    let mut keeper = Keeper::new(&run).calling(&mut take);
    let outcome = setup.process(&run, &Arc::default(), &mut keeper).unwrap();
    let events = keeper.events;
    (Bits::from(&outcome), events, snapshots)
}

/// Resumes from a snapshot and compares all results.
fn resume(setup: &Setup, snapshot: &Snapshot, bits: &Bits, events: &[Value], what: &str) {
    let mut keeper = Keeper::new(&snapshot.folder);
    let outcome = setup.process(&snapshot.folder, &Arc::default(), &mut keeper);
    let outcome = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
    let told = [&events[..snapshot.events], &keeper.events].concat();
    for (at, (told, expected)) in told.iter().zip(events).enumerate() {
        assert_eq!(told, expected, "{what}: event {at}");
    }
    assert_eq!(told.len(), events.len(), "{what}");
    assert_eq!(&Bits::from(&outcome), bits, "{what}");
}

fn from_every_state(share: Share) {
    let (expected, expected_events) = uninterrupted(&Setup::new(share.clone()));
    for at_rest in [AtRest::Memory, AtRest::Disk] {
        for threads in [1, 2, 4] {
            for save_every in [1, 2, 3] {
                let share = share.clone();
                let setup = Setup { threads, at_rest, share, save_every, ..Setup::new(Share::All) };
                let place = tempfile::tempdir().unwrap();
                let (bits, events, snapshots) = snapshots(&setup, place.path());
                let what =
                    format!("{:?} {at_rest:?} {threads} threads, every {save_every}", setup.share);
                assert_eq!(bits, expected, "{what}");
                assert_eq!(events, expected_events, "{what}");
                // At the beginning, after round 0, and from there on.
                assert_eq!(snapshots.len(), 6 / save_every + 2, "{what}");
                for (number, snapshot) in snapshots.iter().enumerate() {
                    let what = format!("{what}, state {number}");
                    resume(&setup, snapshot, &bits, &events, &what);
                }
            }
        }
    }
}

#[test]
fn a_run_resumes_from_every_state_where_all_is_shared() {
    from_every_state(Share::All);
}

#[test]
fn a_run_resumes_from_every_state_where_nothing_is_shared() {
    from_every_state(Share::Nothing);
}

#[test]
fn a_run_resumes_from_every_state_where_a_part_is_shared() {
    from_every_state(Share::Matching(vec!["body".to_owned()]));
}

/// The number of rounds without progress is not part of the state: it follows from the scores.
#[test]
fn a_run_without_patience_ends_in_the_same_round_from_every_state() {
    let mut ends = Vec::new();
    for patience in [1, 2, 3, 6] {
        for share in shares() {
            let setup = Setup { patience: NonZeroUsize::new(patience), ..Setup::new(share) };
            let place = tempfile::tempdir().unwrap();
            let (bits, events, snapshots) = snapshots(&setup, place.path());
            for (number, snapshot) in snapshots.iter().enumerate() {
                let what = format!("{:?}, patience {patience}, state {number}", setup.share);
                resume(&setup, snapshot, &bits, &events, &what);
            }
            ends.push(events.iter().any(|event| event["event"] == "stopped_early"));
        }
    }
    assert!(ends.contains(&true) && ends.contains(&false), "{ends:?}");
}

/// A process that dies just before its next state is saved leaves clients that have gone on; one whose last state is
/// damaged leaves clients that are two steps further.
#[test]
fn states_hold_although_the_clients_went_on() {
    for share in shares() {
        for at_rest in [AtRest::Memory, AtRest::Disk] {
            let setup = Setup { at_rest, ..Setup::new(share.clone()) };
            let place = tempfile::tempdir().unwrap();
            let (bits, events, snapshots) = snapshots(&setup, place.path());
            for later in [1, 2] {
                for number in later..snapshots.len() {
                    // As it was when the next state or the one after that had been committed.
                    let (state, clients) = (&snapshots[number - later], &snapshots[number]);
                    let folder = place.path().join(format!("died {number} {later}"));
                    copy(&states_folder(&state.folder), &states_folder(&folder));
                    std::fs::copy(clients_file(&clients.folder), clients_file(&folder)).unwrap();
                    let died = Snapshot { folder, events: state.events };
                    let what = format!("{share:?} {at_rest:?}, {later} before state {number}");
                    resume(&setup, &died, &bits, &events, &what);
                }
            }
        }
    }
}

/// The interrupted runs must cover every case: clients fail for every reason, rounds are retried.
#[test]
fn the_run_of_these_tests_has_everything() {
    for share in shares() {
        let (_, events) = uninterrupted(&Setup::new(share));
        let words = serde_json::to_string(&events).unwrap();
        for word in [
            "the data cannot be read",
            "it panicked: client 6 has a bug",
            "it panicked in an earlier call",
            "faults.fail",
            r#""reason":"late""#,
            "faults.straggle",
            "it replies to round",
            r#""event":"below_quorum""#,
            r#""then":"retry""#,
        ] {
            assert!(words.contains(word), "{word}");
        }
    }
}
