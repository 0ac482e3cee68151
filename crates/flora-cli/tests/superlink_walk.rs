//! The README of examples/flower-four-sites, as followed by a newcomer.

#![cfg(unix)]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use support::*;

const README: &str = include_str!("../../../examples/flower-four-sites/README.md");

/// The commands, in order.
fn commands() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim()).collect()
}

/// Links the names that the commands use into a separate folder, in which every shell runs.
fn link(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    for name in ["datasets", "models", "examples"] {
        std::os::unix::fs::symlink(root.join(name), folder.join(name)).unwrap();
    }
    std::fs::create_dir_all(folder.join("target/release")).unwrap();
    let program = env!("CARGO_BIN_EXE_flora");
    std::os::unix::fs::symlink(program, folder.join("target/release/flora")).unwrap();
}

#[test]
fn a_newcomer_types_at_most_eight_commands() {
    let commands = commands();
    assert!((2..=8).contains(&commands.len()), "{} commands", commands.len());
    assert_eq!(commands[0], "pip install flwr==1.42.0");
    let count = |words: &str| commands.iter().filter(|command| command.contains(words)).count();
    assert_eq!((count("flora node"), count("flora serve")), (4, 1));
}

#[test]
#[ignore = "needs flwr 1.42.0: FLORA_FLWR_BIN is the folder of its programs"]
fn four_sites_learn_what_the_simulation_learns() {
    let programs = std::env::var("FLORA_FLWR_BIN").expect("FLORA_FLWR_BIN");
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (folder.path(), folder.path().join("cache"));
    link(path);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // pip is already installed; the test waits where commands are faster than the machine.
    let mut script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n".to_owned();
    for command in &commands()[1..] {
        if command.starts_with("cat ") {
            script += "until [ $(ls sites/*/node.key.pub 2>/dev/null | wc -l) = 4 ]; do sleep 0.2; done\n";
        }
        script += &command
            .replace(":8000", &format!(":{port}"))
            .replace("flower-superlink ", &format!("flower-superlink --port {port} "));
        script.push('\n');
    }
    let mut shell = Command::new("bash");
    let search = format!("{programs}:{}", std::env::var("PATH").unwrap());
    shell.args(["-c", &script]).current_dir(path).env("PATH", search);
    shell.env("FLWR_HOME", path.join("flwr")).env("FLORA_CACHE", &cache);
    let said = done(shell);
    let said = text(&said.stdout);
    assert!(said.contains("4 clients, 3154 training images"), "{said}");

    let simulated = path.join("simulated");
    let mut run = flora(&cache);
    run.args(["run", "quickstart", "-q", "--out"]).arg(&simulated);
    done(run);
    let adapter =
        |run: &Path| std::fs::read(run.join("adapter/adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&path.join("runs/quickstart")), adapter(&simulated), "other bits");
}
