//! The files in a desk's folder, and its behaviour without them.

use flora_core::ParameterRecord;
use flora_federation::{Client, Kind};
use flora_tuning::{Policy, Silent};

use super::{Office, task};
use crate::common::{bits, fit};

const TOKEN: &str = "feed-1";

/// The trainings of an undisturbed client: the sent and the trained parameters.
fn trainings(office: &Office, set: &[&str], rounds: usize) -> Vec<ParameterRecord> {
    let mut client = office.desk.site().client(&office.plan(set), &mut Silent).unwrap();
    let mut records = vec![client.initial().clone()];
    for round in 0..rounds {
        let next = fit(&mut client, round, &records[round]);
        records.push(next);
    }
    records
}

#[test]
fn four_states_are_kept() {
    let mut office = Office::new(Policy::default());
    let records = trainings(&office, &[], 7);
    office.join(TOKEN, &office.plan(&[])).unwrap();
    for round in 0..7 {
        let trained = office.train(TOKEN, round, &records[round]).unwrap();
        assert!(bits(&trained) == bits(&records[round + 1]), "{round}");
        assert_eq!(office.kept(TOKEN).len(), (round + 1).min(4), "{round}");
    }
    // Three rounds back, in another process.
    office.restart(Policy::default());
    assert!(bits(&office.train(TOKEN, 4, &records[4]).unwrap()) == bits(&records[5]));
    assert_eq!(office.kept(TOKEN), ["000003-000.state", "000004-000.state"]);
    assert!(bits(&office.train(TOKEN, 5, &records[5]).unwrap()) == bits(&records[6]));
    // Further back than it remembers: an error, never another result.
    let error = office.train(TOKEN, 2, &records[2]).unwrap_err();
    assert!(error.contains("went back to round 3") && error.contains("last 3 rounds"), "{error}");
    assert!(bits(&office.train(TOKEN, 5, &records[5]).unwrap()) == bits(&records[6]));
    // To the beginning.
    assert!(bits(&office.train(TOKEN, 0, &records[0]).unwrap()) == bits(&records[1]));
    assert_eq!(office.kept(TOKEN), ["000000-000.state"]);
}

/// A server that saves a state every second round is set back up to four if its last state is damaged.
#[test]
fn as_many_states_are_kept_as_the_server_may_go_back() {
    let mut office = Office::new(Policy::default());
    let set = ["output.save_every=2"];
    let records = trainings(&office, &set, 9);
    office.join(TOKEN, &office.plan(&set)).unwrap();
    for (round, sent) in records[..9].iter().enumerate() {
        office.train(TOKEN, round, sent).unwrap();
    }
    assert_eq!(office.kept(TOKEN).len(), 6);
    office.restart(Policy::default());
    for round in 4..9 {
        let again = office.train(TOKEN, round, &records[round]).unwrap();
        assert!(bits(&again) == bits(&records[round + 1]), "{round}");
    }
}

/// A client that is selected only sometimes returns to the previous state, however old.
#[test]
fn rounds_without_the_client_leave_its_state() {
    let mut office = Office::new(Policy::default());
    office.join(TOKEN, &office.plan(&[])).unwrap();
    let mut client = office.desk.site().client(&office.plan(&[]), &mut Silent).unwrap();
    let mut sent = vec![client.initial().clone()];
    let rounds = [3, 20, 40, 41];
    for (index, round) in rounds.into_iter().enumerate() {
        sent.push(fit(&mut client, round, &sent[index]));
        let trained = office.train(TOKEN, round, &sent[index]).unwrap();
        assert!(bits(&trained) == bits(&sent[index + 1]), "{round}");
    }
    assert_eq!(office.kept(TOKEN).len(), 3);
    office.restart(Policy::default());
    assert!(bits(&office.train(TOKEN, 40, &sent[2]).unwrap()) == bits(&sent[3]));
    assert!(bits(&office.train(TOKEN, 41, &sent[3]).unwrap()) == bits(&sent[4]));
    // The state of round 3 is gone.
    assert!(office.train(TOKEN, 20, &sent[1]).unwrap_err().contains("went back to round 21"));
}

#[test]
fn damage_is_told() {
    let mut office = Office::new(Policy::default());
    let records = trainings(&office, &[], 2);
    office.join(TOKEN, &office.plan(&[])).unwrap();
    office.train(TOKEN, 0, &records[0]).unwrap();
    let state = office.runs().join(TOKEN).join("000000-000.state");
    let good = std::fs::read(&state).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &good[..good.len() / 2], &good[..31], &[]] {
        std::fs::write(&state, damaged).unwrap();
        office.restart(Policy::default());
        let error = office.train(TOKEN, 1, &records[1]).unwrap_err();
        // Its location is known to the site only.
        assert!(error.contains("see the site's log"), "{error}");
        // The first round needs no state, nor does an evaluation.
        office.ask(&Kind::Evaluate, &task(TOKEN, 1, &records[1])).unwrap();
    }
    std::fs::write(&state, &good).unwrap();
    assert!(bits(&office.train(TOKEN, 1, &records[1]).unwrap()) == bits(&records[2]));

    let plan = office.runs().join(TOKEN).join("plan.json");
    let good = std::fs::read_to_string(&plan).unwrap();
    for damaged in
        [good.replace("a {}.", "b {}."), good[..good.len() / 2].to_owned(), String::new()]
    {
        std::fs::write(&plan, damaged).unwrap();
        office.restart(Policy::default());
        let error = office.train(TOKEN, 1, &records[1]).unwrap_err();
        assert!(error.contains("see the site's log"), "{error}");
    }
    std::fs::remove_file(&plan).unwrap();
    let error = office.train(TOKEN, 1, &records[1]).unwrap_err();
    assert!(error.contains("--resume"), "{error}");
    // The server sends it again.
    office.join(TOKEN, &office.plan(&[])).unwrap();
    assert!(bits(&office.train(TOKEN, 1, &records[1]).unwrap()) == bits(&records[2]));
}

#[test]
fn runs_that_nobody_asks_for_are_forgotten() {
    let mut office = Office::new(Policy::default());
    let plan = office.plan(&[]);
    for run in 0..10 {
        office.join(&format!("run-{run}"), &plan).unwrap();
        // File times have steps of milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(15));
    }
    let runs = || {
        let entries = std::fs::read_dir(office.runs()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let known = runs();
    assert_eq!(known, (2..10).map(|run| format!("run-{run}")).collect::<Vec<_>>());
    let start = office.desk.site().client(&plan, &mut Silent).unwrap().initial().clone();
    // Requests for unknown runs make the site forget nothing.
    for run in 20..40 {
        let unknown = task(&format!("run-{run}"), 0, &start);
        let request =
            flora_tuning::Request { run: "flower-1".into(), kind: &Kind::Train, message: &unknown };
        let error = office.desk.handle(&request).unwrap_err();
        assert!(error.contains("has not joined the run"), "{error}");
    }
    let entries = std::fs::read_dir(office.runs()).unwrap();
    assert_eq!(entries.count(), known.len());
    office.train("run-2", 0, &start).unwrap();
}

/// A plan of an earlier process still has to pass the policy of this one.
#[test]
fn a_plan_of_an_earlier_process_is_checked_again() {
    let mut office = Office::new(Policy::default());
    let records = trainings(&office, &[], 1);
    office.join(TOKEN, &office.plan(&[])).unwrap();
    office.restart(Policy { min_examples: 13, ..Policy::default() });
    let error = office.train(TOKEN, 0, &records[0]).unwrap_err();
    assert!(error.contains("min_examples"), "{error}");
    office.restart(Policy::default());
    let info = office.desk.site().client(&office.plan(&[]), &mut Silent).unwrap().info();
    assert_eq!(info.num_examples, 12);
    assert!(bits(&office.train(TOKEN, 0, &records[0]).unwrap()) == bits(&records[1]));
}
