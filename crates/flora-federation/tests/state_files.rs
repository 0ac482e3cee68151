//! Damaged state files never cause a panic or wrong numbers.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use flora_federation::{
    AtRest, ClientStates, Event, FedAvg, FederationError, Listener, Loaded, Outcome, Rounds,
    RoundsConfig, RunState, Share, Simulation, StateError, StateFolder,
};
use sha2::{Digest, Sha256};
use support::{
    Pull,
    mover::{initial, movers},
    process::Bits,
    record,
};

/// Keeps states in a folder, and copies the files of `beside` along with each.
struct Keep {
    folder: StateFolder,
    beside: Option<PathBuf>,
}

impl Listener for Keep {
    fn event(&mut self, _: &Event) {}

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let facts = BTreeMap::from([("experiment".to_owned(), "a test".to_owned())]);
        self.folder.save(state, &facts).map_err(|error| error.to_string())?;
        if let Some(beside) = &self.beside {
            let copy = beside.with_extension(state.rounds_done().to_string());
            fs::copy(beside, copy).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn config(rounds: usize) -> RoundsConfig {
    RoundsConfig { rounds, ..RoundsConfig::default() }
}

fn fleet() -> Simulation {
    Simulation::new(vec![Pull::new("a", [1.0, 0.5], 10).boxed()], 1).unwrap()
}

/// A folder with the states after rounds 1 and 2 of a run of two rounds.
fn two_states() -> (tempfile::TempDir, StateFolder) {
    let place = tempfile::tempdir().unwrap();
    let folder = StateFolder::open(place.path()).unwrap();
    let mut keep = Keep { folder, beside: None };
    Rounds::new(&config(2)).run(&mut fleet(), &mut FedAvg, record([0.0; 2]), &mut keep).unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "the last two are kept");
    let loaded = keep.folder.load().unwrap();
    assert!(loaded.passed_over.is_none());
    assert!(loaded.state.is_finished() && loaded.state.rounds_done() == 2);
    (place, keep.folder)
}

/// Expects the state of round 1, and these words in the reason why that of round 2 was skipped.
fn expect_the_one_before(folder: &StateFolder, newest: &Path, what: &str) -> String {
    let Loaded { state, facts, passed_over } =
        folder.load().unwrap_or_else(|error| panic!("{what}: {error}"));
    let passed_over = passed_over.unwrap_or_else(|| panic!("{what} was not noticed")).to_string();
    assert!(passed_over.contains(newest.to_str().unwrap()), "{what}: {passed_over}");
    assert_eq!((state.rounds_done(), state.history().len()), (1, 2), "{what}");
    assert_eq!(facts["experiment"], "a test");
    passed_over
}

fn newest(place: &Path) -> (PathBuf, PathBuf) {
    (place.join("000002.state"), place.join("000003.state"))
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let (place, folder) = two_states();
    let (_, newest) = newest(place.path());
    let whole = fs::read(&newest).unwrap();
    for at in 0..whole.len() {
        for mask in [1 << (at % 8), 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            fs::write(&newest, &bytes).unwrap();
            expect_the_one_before(&folder, &newest, &format!("byte {at} ^ {mask}"));
        }
        fs::write(&newest, &whole[..at]).unwrap();
        let problem = expect_the_one_before(&folder, &newest, &format!("cut at {at}"));
        assert!(problem.contains("damaged"), "{problem}");
    }
    for more in [&b"\0"[..], &whole] {
        fs::write(&newest, [&whole, more].concat()).unwrap();
        expect_the_one_before(&folder, &newest, "something at the end");
    }
    fs::write(&newest, &whole).unwrap();
    assert!(folder.load().unwrap().state.is_finished());
}

#[test]
fn where_both_are_damaged_the_last_is_named() {
    let (place, mut folder) = two_states();
    let (older, newest) = newest(place.path());
    for path in [&older, &newest] {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    }
    let error = folder.load().unwrap_err().to_string();
    assert!(error.contains("000003.state") && error.contains("checksum"), "{error}");
    folder.forget_damaged().unwrap();
    assert!(matches!(folder.load(), Err(StateError::Missing { .. })));
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let (place, folder) = two_states();
    let (_, newest) = newest(place.path());
    let bytes = fs::read(&newest).unwrap();
    let body = [b"flora state 27\n", &bytes[b"flora state 1\n".len()..bytes.len() - 32]].concat();
    fs::write(&newest, sealed(&body)).unwrap();
    let problem = expect_the_one_before(&folder, &newest, "version 27");
    assert!(problem.contains("another version of flora"), "{problem}");
}

/// A run that resumes from an older state writes newer ones after it, and those are used.
#[test]
fn damaged_states_can_be_forgotten() {
    let (place, mut folder) = two_states();
    let (_, newest) = newest(place.path());
    fs::write(&newest, b"flora").unwrap();
    folder.forget_damaged().unwrap();
    assert!(!newest.exists());
    let loaded = folder.load().unwrap();
    assert!(loaded.passed_over.is_none());
    let mut keep = Keep { folder, beside: None };
    let rounds = config(2);
    let rounds = Rounds::new(&rounds);
    rounds.resume(&mut fleet(), &mut FedAvg, loaded.state, &mut keep).unwrap();
    assert!(keep.folder.load().unwrap().state.is_finished());
}

/// States hold secrets of single clients.
#[cfg(unix)]
#[test]
fn others_cannot_read_states() {
    use std::os::unix::fs::PermissionsExt;
    let (place, _) = two_states();
    let clients = place.path().join("clients.bin");
    drop(ClientStates::create(&clients).unwrap());
    let (before, newest) = newest(place.path());
    for path in [before, newest, clients] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{path:?}");
    }
}

fn sealed(body: &[u8]) -> Vec<u8> {
    [body, &Sha256::digest(body)].concat()
}

/// Anyone can write a file with a valid checksum. It may contain other numbers, but must not cause a panic.
#[test]
fn a_forged_file_does_not_cause_a_panic() {
    let (place, folder) = two_states();
    let (older, newest) = newest(place.path());
    fs::remove_file(older).unwrap();
    let whole = fs::read(&newest).unwrap();
    let body = &whole[..whole.len() - 32];
    let (mut read, mut refused) = (0, 0);
    for at in 0..body.len() {
        for mask in [0x01, 0x10, 0x80] {
            let mut body = body.to_vec();
            body[at] ^= mask;
            fs::write(&newest, sealed(&body)).unwrap();
            match folder.load() {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
        fs::write(&newest, sealed(&body[..at])).unwrap();
        assert!(folder.load().is_err(), "cut at {at}");
    }
    assert!(read > 0 && refused > 0);

    // Finished without a single evaluation: there is no outcome.
    let begin = b"flora state 1\n".len();
    let length = u64::from_le_bytes(body[begin..begin + 8].try_into().unwrap()) as usize;
    let (head, blobs) = body[begin + 8..].split_at(length);
    let mut head: serde_json::Value = serde_json::from_slice(head).unwrap();
    assert!(head["step"].is_null());
    head["best_at"] = serde_json::Value::Null;
    head["history"] = serde_json::json!([]);
    let head = serde_json::to_vec(&head).unwrap();
    let length = (head.len() as u64).to_le_bytes();
    let forged = [b"flora state 1\n", &length[..], &head, blobs].concat();
    fs::write(&newest, sealed(&forged)).unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(error.contains("not understood"), "{error}");
}

/// The same clients after one of two rounds, or at the beginning.
fn stateful(
    states: ClientStates,
    state: Option<RunState>,
    listener: &mut dyn Listener,
) -> Result<Outcome, FederationError> {
    let clients = movers(2, &Share::All, &Default::default());
    let mut fleet = Simulation::new(clients, 1).unwrap().with_states(states, AtRest::Disk);
    let config = config(2);
    let rounds = Rounds::new(&config);
    match state {
        None => rounds.run(&mut fleet, &mut FedAvg, initial(), listener),
        Some(state) => rounds.resume(&mut fleet, &mut FedAvg, state, listener),
    }
}

#[test]
fn damaged_states_of_clients_are_noticed_where_they_are_needed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("clients.bin");
    let folder = StateFolder::open(place.path()).unwrap();
    let mut keep = Keep { folder, beside: Some(path.clone()) };
    let expected = stateful(ClientStates::create(&path).unwrap(), None, &mut keep).unwrap();
    let expected = Bits::from(&expected);
    // Without the state after round 2, that after round 1 is the last one.
    fs::remove_file(place.path().join("000003.state")).unwrap();
    let state = keep.folder.load().unwrap().state;
    assert_eq!(state.rounds_done(), 1);
    let whole = fs::read(path.with_extension("1")).unwrap();

    let resume = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let states = ClientStates::open(&path).unwrap();
        stateful(states, Some(state.clone()), &mut |_: &Event| ())
    };
    let (mut noticed, mut same) = (0, 0);
    let mut check = |bytes: &[u8], words: [&str; 2], what: &str| match resume(bytes) {
        Ok(outcome) => {
            assert_eq!(Bits::from(&outcome), expected, "{what}");
            same += 1;
        }
        Err(error) => {
            let error = error.to_string();
            let named = words.iter().any(|word| error.contains(word));
            assert!(named && error.contains("clients.bin"), "{what}: {error}");
            noticed += 1;
        }
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        check(&bytes, ["state of client c0", "state of client c1"], &format!("byte {at}"));
    }
    for at in (0..whole.len()).step_by(7) {
        check(&whole[..at], ["is cut off", "is cut off"], &format!("cut at {at}"));
    }
    assert!(noticed > 500 && same > 100, "{noticed} {same} of {}", whole.len());
}

#[test]
fn a_state_without_its_clients_file_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("clients.bin");
    let folder = StateFolder::open(place.path()).unwrap();
    let mut keep = Keep { folder, beside: None };
    stateful(ClientStates::create(&path).unwrap(), None, &mut keep).unwrap();
    let state = keep.folder.load().unwrap().state;
    let mut fleet = Simulation::new(movers(2, &Share::All, &Default::default()), 1).unwrap();
    let config = config(2);
    let error = Rounds::new(&config)
        .resume(&mut fleet, &mut FedAvg, state, &mut |_: &Event| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("given no file"), "{error}");
    let error = ClientStates::open(place.path().join("nowhere.bin")).unwrap_err().to_string();
    assert!(error.contains("nowhere.bin"), "{error}");
}
