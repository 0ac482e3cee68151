//! `flora serve` and `flora node` on a real SuperLink, compared with `flora run`.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};

use support::superlink::{World, assert_same_bits, cache, failures, warnings};
use support::{count, done, flora, summary, text, wait_for};

const VENDORS: [&str; 4] = ["fluent-emoji", "fluent-emoji-flat", "fxemoji", "openmoji"];

fn emoji_vendors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/emoji-vendors/emoji-vendors.toml")
}

/// One node per vendor, on its own SuperLink.
fn four_vendors() -> World {
    let mut world = World::new(&[]);
    for vendor in VENDORS {
        let command = world.node_command(&emoji_vendors(), vendor);
        world.start_node(command, vendor);
    }
    world
}

fn with<'a>(
    mut command: std::process::Command,
    settings: impl IntoIterator<Item = &'a str>,
) -> std::process::Command {
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_served_run_has_the_bits_of_a_simulated_one() {
    let world = four_vendors();
    let names = world.names();
    // One after the other: nodes take part in any number of runs.
    let cases: [(&str, &[&str]); 7] = [
        ("flora", &["training.rounds=3"]),
        ("f16", &["training.rounds=1", "federation.upload=f16"]),
        ("eden", &["training.rounds=2", "federation.upload=eden", "federation.download=int8"]),
        ("secure", &["training.rounds=2", "federation.secure={}"]),
        ("alone", &["training.rounds=1", "federation.participants=alone"]),
        ("fedprompt", &["training.rounds=2", "method.name=fedprompt"]),
        ("lda", &["method.name=lda"]),
    ];
    for (case, settings) in cases {
        let simulated = world.path(&format!("{case}-simulated"));
        let mut command = flora(&cache());
        command.args(["run", "quickstart", "--out"]).arg(&simulated);
        done(with(command, settings.iter().copied()));

        let served = world.path(&format!("{case}-served"));
        let mut command = world.serve_command(&served);
        command.arg("quickstart").arg("--names").arg(&names);
        done(with(command, settings.iter().copied()));

        assert_same_bits(&served, &simulated, case);
        assert!(failures(&served).is_empty(), "{case}: {:?}", failures(&served));
        assert!(warnings(&served).is_empty(), "{case}: {:?}", warnings(&served));
        let (one, other) = (summary(&served), summary(&simulated));
        for key in [
            "accuracy",
            "last_round",
            "best_round",
            "clients",
            "trainable_parameters",
            "base_digest",
        ] {
            assert_eq!(one[key], other[key], "{case}: {key}");
        }
    }

    // Flower's own programs list the runs.
    let listed = text(&world.flwr(&["ls", "--format", "json"]).stdout);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect(&listed);
    let runs = listed["runs"].as_array().unwrap();
    assert_eq!(runs.len(), cases.len(), "{listed}");
    for run in runs {
        assert_eq!(run["status"], "finished:completed", "{run}");
        assert_eq!(run["fab-name"], "quickstart", "{run}");
    }
    let id = runs[0]["run-id"].as_str().unwrap();
    let log = world.flwr(&["log", id, "test", "--show"]);
    let log = text(&log.stdout) + &text(&log.stderr);
    assert!(log.contains("round"), "{log}");
}

/// Sites go back with a server that was killed to the round that it was in, and their next sum is the same.
#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_server_that_is_killed_under_masks_goes_on() {
    let world = four_vendors();
    let names = world.names();
    let settings = ["training.rounds=3", "training.local_epochs=60", "federation.secure={}"];
    let simulated = world.path("simulated");
    let mut command = flora(&cache());
    command.args(["run", "quickstart", "--out"]).arg(&simulated);
    done(with(command, settings));

    let served = world.path("served");
    let mut command = world.serve_command(&served);
    command.arg("quickstart").arg("--names").arg(&names);
    let mut server = world.start_server(with(command, settings));
    wait_for("the second round", || count(&served, "round_started") == 2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.kill();
    assert_eq!(count(&served, "aggregated"), 1, "too late: the round is over");

    let mut command = flora(&cache());
    command.args(["serve", "--superlink", &world.url(), "--names"]).arg(&names);
    command.arg("--resume").arg(&served);
    done(command);
    assert_same_bits(&served, &simulated, "masks");
    assert!(failures(&served).is_empty(), "{:?}", failures(&served));
}
