//! Runs that are killed at any moment and resumed leave exactly the files of uninterrupted runs.
//!
//! `FLORA_KILLS=200 cargo test --release -p flora-cli --test kill -- --nocapture` for more of them.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Draw, differences, kills, leftovers, resume, small};

/// Whether the process was killed before it ended; it must not have failed by itself.
fn killed_after(mut child: Child, moment: Duration) -> bool {
    let until = Instant::now() + moment;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        if Instant::now() >= until {
            // SIGKILL: no code of the process runs after it.
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        sleep(Duration::from_millis(1));
    }
}

fn started(mut command: Command) -> Child {
    // The test reports a failure.
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Kills a run and its resumed successors until the number of kills is reached and the last run is finished.
fn survive(folder: &Path, settings: &[&str], kills: u32) {
    let reference = folder.join("reference");
    let cache = folder.join("cache");
    let begin = |out: &Path| small(&cache, settings, out);
    let began = Instant::now();
    assert!(begin(&reference).stdout(Stdio::null()).status().unwrap().success());
    // The features were not cached in the reference.
    let longest = began.elapsed();
    let expected = leftovers(&reference);
    let mut draw = Draw::new();
    let (mut killed, mut runs) = (0, 0);
    while killed < kills {
        runs += 1;
        let out = folder.join(format!("run-{runs}"));
        let mut alive = killed_after(started(begin(&out)), draw.moment(longest));
        while alive {
            killed += 1;
            // A run that was killed before it had a folder starts like any other.
            let command = match out.join("experiment.toml").exists() {
                true => resume(&cache, &out),
                false => begin(&out),
            };
            alive = killed_after(started(command), draw.moment(longest));
        }
        let differ = differences(&leftovers(&out), &expected);
        assert!(differ.is_empty(), "{settings:?}: run {runs} after {killed} kills: {differ:?}");
    }
    println!("{settings:?}: {killed} kills over {runs} runs of up to {longest:.1?}");
}

#[test]
fn a_run_survives() {
    let folder = tempfile::tempdir().unwrap();
    survive(folder.path(), &["output.keep_every=2", "output.keep_clients=true"], kills(50));
}

#[test]
fn so_do_other_methods_and_modes() {
    let all: [&[&str]; 9] = [
        &["federation.participants=alone", "federation.client_state=disk"],
        &["federation.fraction=0.5", "federation.client_state=disk", "federation.threads=1"],
        &["faults={ fail = 0.3, nan = 0.25, drop_out = 0.2 }", "federation.below_quorum=skip"],
        &["federation.participants=central", "training.optimizer=adamw"],
        &["method.name=fedlc", "training.optimizer=sgd", "training.momentum=0.9"],
        &["method.name=fedprompt", "output.save_every=2"],
        &["method.name=fedaa", "federation.participants=[\"fxemoji\", \"openmoji\"]"],
        &["method.name=fedvm-lc", "training.rounds=2"],
        &["method.name=lda"],
    ];
    for settings in all {
        let folder = tempfile::tempdir().unwrap();
        survive(folder.path(), settings, kills(50).div_ceil(all.len() as u32));
    }
}
