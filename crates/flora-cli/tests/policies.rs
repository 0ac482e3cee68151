//! Failing clients, exploding training, and output modes.

mod support;

use std::path::Path;

use serde_json::Value;
use support::*;

/// A short run with these settings, and its standard error.
fn run(folder: &Path, settings: &[&str], code: i32) -> (std::path::PathBuf, String) {
    let out = folder.join("run");
    let few = ["training.rounds=2", "data.limit={train=80,test=40}"];
    let settings: Vec<&str> = few.iter().chain(settings).copied().collect();
    (out.clone(), refused(small(&folder.join("cache"), &settings, &out), code))
}

fn of<'a>(events: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |it| it["event"] == event)
}

#[test]
fn rounds_without_enough_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (out, said) = run(path, &["faults.fail=1.0"], 1);
    assert!(said.contains("training failed in round 1: no client trained"), "{said}");
    assert!(said.contains("resume with: flora run --resume"), "{said}");
    assert_eq!(summary(&out)["status"], "failed");
    assert!(summary(&out)["accuracy"]["last"].is_object());

    let retry = ["faults.fail=1.0", "federation.below_quorum=retry", "federation.retries=2"];
    let (out, said) = run(path, &retry, 1);
    assert!(said.contains("no client trained"), "{said}");
    assert_eq!(count(&out, "below_quorum"), 3);
    assert_eq!(count(&out, "round_started"), 3);
    // The same again, from where it failed.
    let again = refused(resume(&path.join("cache"), &out), 1);
    assert!(again.contains("no client trained"), "{again}");

    let (out, _) = run(path, &["faults.fail=1.0", "federation.below_quorum=skip"], 0);
    let accuracy = &summary(&out)["accuracy"];
    assert_eq!(accuracy["last"], accuracy["zero_shot"]);
    assert_eq!(count(&out, "aggregated"), 0);

    let late = [
        "faults={ straggle = 0.5, delay = 9.0 }",
        "federation.deadline=8.0",
        "federation.quorum=4",
        "federation.below_quorum=retry",
        "federation.retries=100",
    ];
    let (out, _) = run(path, &late, 0);
    let events = events(&out);
    assert!(of(&events, "client_failed").all(|it| it["reason"] == "late"));
    assert!(of(&events, "aggregated").all(|it| it["replies"] == 4));

    // No client could be that fast.
    let (_, said) = run(path, &["federation.deadline=1e-9"], 1);
    assert!(said.contains("deadline"), "{said}");
    // No round could ever reach the quorum.
    let (_, said) = run(path, &["federation.quorum=5", "federation.below_quorum=skip"], 2);
    assert!(said.contains("federation.quorum: 5, but 4 clients train in a round"), "{said}");
    let half = ["federation.quorum=3", "federation.fraction=0.5"];
    assert!(run(path, &half, 2).1.contains("federation.quorum: 3, but 2 clients"));
}

#[test]
fn training_that_explodes_never_counts_as_finished() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        &["training.learning_rate=1e30"][..],
        &["training.optimizer=sgd", "training.learning_rate=1e30"],
        &["training.optimizer=sgd", "training.learning_rate=1e38", "training.batch_size=256"],
        &["training.learning_rate=1e30", "method.name=fedprompt"],
        &["training.learning_rate=1e38", "method.name=fedlc"],
        &["training.learning_rate=1e38", "method.name=fedlc", "training.batch_size=256"],
        &["training.learning_rate=1e20", "method.name=fedaa"],
        &["training.learning_rate=1e30", "federation.participants=alone"],
        &["training.learning_rate=1e30", "federation.participants=central"],
        &["training.learning_rate=1e30", "method.loss=infonce"],
        // No value overflows, but the squares of the model's activations do.
        &["training.learning_rate=1e12", "federation.participants=alone"],
    ] {
        let (out, said) = run(folder.path(), settings, 1);
        let told = ["NaN", "inf", "not finite", "overflow", "the norm of its update is"]
            .iter()
            .any(|word| said.contains(word));
        assert!(told, "{settings:?}: {said}");
        assert_eq!(summary(&out)["status"], "failed", "{settings:?}");
    }
}

#[test]
fn mistakes_in_tables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, words) in [
        ("faults.fial=0.5", ["fial", "fail"]),
        ("faults.fail=2", ["faults.fail", "2"]),
        ("faults={ nan = 0.6, huge = 0.6 }", ["faults.", "1"]),
        ("output.keep=1", ["keep", "keep_every"]),
        ("output.save_every=-1", ["save_every", "-1"]),
        (
            "output={ save_every = 2, keep_every = 3 }",
            ["output.keep_every: 3", "output.save_every"],
        ),
        ("federation.deadline=0", ["federation.deadline", "0"]),
        ("federation.max_update_norm=-1", ["federation.max_update_norm", "-1"]),
    ] {
        let (out, said) = run(folder.path(), &[setting], 2);
        assert!(words.iter().all(|word| said.contains(word)), "{setting}: {said}");
        assert!(!out.exists());
    }
    let mut command = small(&folder.path().join("cache"), &[], &folder.path().join("run"));
    command.args(["--save-every", "0", "--keep-every", "1"]);
    let said = refused(command, 2);
    assert!(said.contains("output.keep_every: 1 is not a multiple of output.save_every"), "{said}");
}

#[test]
fn quiet_verbose_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    let shown = |voice: &str| {
        let settings = ["training.rounds=2", "faults.fail=0.4", "federation.below_quorum=skip"];
        let mut command = small(&cache, &settings, &out);
        command.arg(voice);
        let output = done(command);
        (text(&output.stdout), text(&output.stderr))
    };
    let (json, _) = shown("--json");
    let mut lines: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.pop().unwrap();
    assert_eq!(last["event"], "summary");
    let mut written = summary(&out);
    // The file's own text.
    written.as_object_mut().unwrap().remove("sha256").unwrap();
    assert_eq!(last["summary"], written);
    assert_eq!(lines, events(&out));

    let (quiet, warnings) = shown("--quiet");
    assert_eq!(quiet, "");
    assert!(warnings.lines().all(|line| line.starts_with("warning: ")), "{warnings}");
    assert!(warnings.contains("a simulated failure"), "{warnings}");
    let (verbose, _) = shown("--verbose");
    for client in ["openmoji", "fxemoji", "fluent-emoji"] {
        assert!(verbose.contains(&format!("client {client}: ")), "{verbose}");
        assert!(verbose.contains(&format!(" {client}: ")), "{verbose}");
    }

    // A run that fails has a summary, too.
    let mut command = small(&cache, &["faults.fail=1.0"], &out);
    command.arg("--json");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let last = text(&output.stdout).lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["event"], &last["summary"]["status"]), (&"summary".into(), &"failed".into()));
}
