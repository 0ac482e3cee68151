//! Flower's own SecAgg+ workflow, unchanged, with flora nodes on a real SuperLink: `examples/flower-stock`.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use flora::core::ParameterRecord;
use support::superlink::{Process, World, cache, flwr_program};
use support::{done, flora, text};

const VENDORS: [&str; 4] = ["fluent-emoji", "fluent-emoji-flat", "fxemoji", "openmoji"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The process that starts a SuperLink's ServerApps.
fn superexec(world: &World) -> Process {
    let program = flwr_program("flower-superexec");
    let mut paths = vec![program.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(&program);
    command.args(["--insecure", "--runtime-api-address", &format!("127.0.0.1:{}", world.port)]);
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command.env("FLWR_HOME", world.path("flwr-home"));
    command.envs([("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1")]);
    Process::start(command, world.path("superexec.log"))
}

/// The output of a run of one masked round, and its final parameters.
fn run(world: &World, name: &str, settings: &str) -> (String, BTreeMap<String, Vec<f64>>) {
    let saved = world.path(&format!("{name}.npz"));
    let config =
        format!("strategy=\"secaggplus\" nodes=4 num-rounds=1 save-to={saved:?} {settings}");
    let app = repository("examples/flower-stock");
    let output =
        world.flwr(&["run", app.to_str().unwrap(), "test", "--stream", "--run-config", &config]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && saved.exists(), "{name}: {said}");
    let program = "import json, sys, numpy\n\
                   arrays = numpy.load(sys.argv[1])\n\
                   print(json.dumps({name: arrays[name].ravel().tolist() for name in arrays}))";
    let output = Command::new(flwr_program("python")).args(["-c", program]).arg(saved).output();
    let output = output.unwrap();
    let read = serde_json::from_slice(&output.stdout);
    (said, read.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
}

/// The difference from the parameters of a `flora run` round with these vendors.
fn off(world: &World, found: &BTreeMap<String, Vec<f64>>, vendors: &[&str]) -> f64 {
    let out = world.path(&format!("simulated-{}", vendors.len()));
    let participants = format!("federation.participants={vendors:?}");
    let mut command = flora(&cache());
    command.args(["run", "examples/flower-stock/experiment.toml", "--set", &participants]);
    command.args(["--set", "training.rounds=1"]).arg("--out").arg(&out);
    done(command);
    let file = std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap();
    let record = ParameterRecord::from_safetensors(&file).unwrap();
    assert_eq!(record.len(), found.len());
    let pairs = record.iter().flat_map(|(name, tensor)| {
        let theirs = &found[name.strip_prefix("base_model.model.").unwrap()];
        let ours = tensor.to_f32().into_owned();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        ours.into_iter().zip(theirs.iter().copied()).collect::<Vec<_>>()
    });
    pairs.map(|(ours, theirs)| (f64::from(ours) - theirs).abs()).fold(0.0, f64::max)
}

/// Waits until the node has written its state this many times, which it does once per stage.
fn wait_for_stages(folder: &Path, stages: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    let (mut seen, mut last) = (0, Vec::new());
    while seen < stages {
        assert!(Instant::now() < until, "stage {seen} of {stages}");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let states = files.filter(|file| file.path().extension().is_some_and(|it| it == "state"));
        let state: Vec<u8> =
            states.filter_map(|file| std::fs::read(file.path()).ok()).flatten().collect();
        if !state.is_empty() && state != last {
            (seen, last) = (seen + 1, state);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn flowers_own_workflow_adds_up_what_it_cannot_see() {
    let mut world = World::new(&[]);
    let data = repository("datasets/emoji-vendors/emoji-vendors.toml");
    for vendor in VENDORS {
        let command = world.node_command(&data, vendor);
        world.start_node(command, vendor);
    }
    let _starter = superexec(&world);
    // A step of its quantisation is 2 * 8 / 2^22 * 2000 / 3154.
    let (said, all) = run(&world, "all", "");
    let apart = off(&world, &all, &VENDORS);
    assert!(apart < 1e-5, "{apart}: {said}");

    // One has distributed its shares, and is killed while it trains.
    let victim = world.path(VENDORS[3]).join("secaggplus");
    let (said, three) = thread::scope(|scope| {
        let at_work = scope.spawn(|| run(&world, "three", "timeout=40.0"));
        wait_for_stages(&victim, 2);
        // Its shares are on their way, and the next query takes seconds.
        thread::sleep(Duration::from_millis(500));
        world.nodes[3].send("KILL");
        at_work.join().unwrap()
    });
    let apart = off(&world, &three, &VENDORS[..3]);
    assert!(apart < 1e-5, "{apart}: {said}");
}
