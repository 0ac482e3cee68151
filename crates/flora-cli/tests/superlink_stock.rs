//! Flower's own strategies in Python, unchanged, drive `flora node` on a real SuperLink: `examples/flower-stock`.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use flora::core::ParameterRecord;
use serde_json::Value;
use support::superlink::{Process, World, cache, flwr_program};
use support::{done, flora, text};

const VENDORS: [&str; 2] = ["fxemoji", "openmoji"];

/// No node failed; `flwr` prints this after training and after evaluation.
const ALL_ANSWERED: &str = "Received 2 results and 0 failures";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Two nodes on their own SuperLink, and the process that starts its ServerApps.
fn two_vendors() -> (World, Process) {
    let mut world = World::new(&[]);
    let data = repository("datasets/emoji-vendors/emoji-vendors.toml");
    for vendor in VENDORS {
        let command = world.node_command(&data, vendor);
        world.start_node(command, vendor);
    }
    let programs = flwr_program("flower-superexec");
    let mut paths = vec![programs.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(&programs);
    let address = format!("127.0.0.1:{}", world.port);
    command.args(["--insecure", "--runtime-api-address", &address]);
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command.env("FLWR_HOME", world.path("flwr-home"));
    command.envs([("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1")]);
    let starter = Process::start(command, world.path("superexec.log"));
    (world, starter)
}

/// The output of a run, whose final parameters are in the folder, under its strategy's name.
fn run(world: &World, strategy: &str, settings: &str) -> String {
    let saved = world.path(&format!("{strategy}.npz"));
    let config = format!("strategy={strategy:?} save-to={saved:?} {settings}");
    let app = repository("examples/flower-stock");
    let app = app.to_str().unwrap();
    let output = world.flwr(&["run", app, "test", "--stream", "--run-config", &config]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && saved.exists(), "{strategy}: {said}");
    said
}

/// The final parameters of a run, and their element type.
fn parameters(world: &World, strategy: &str) -> (BTreeMap<String, Vec<f64>>, String) {
    let program = "import json, sys, numpy\n\
                   arrays = numpy.load(sys.argv[1])\n\
                   values = {name: arrays[name].ravel().tolist() for name in arrays}\n\
                   (dtype,) = {arrays[name].dtype.name for name in arrays}\n\
                   print(json.dumps([values, dtype]))";
    let saved = world.path(&format!("{strategy}.npz"));
    let output = Command::new(flwr_program("python")).args(["-c", program]).arg(saved).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// The values of a metric in a run's output, one per round.
fn told(said: &str, metric: &str) -> Vec<f64> {
    let name = format!("'{metric}': ");
    let numbers = said.lines().filter(|line| line.contains("Aggregated MetricRecord: "));
    let numbers = numbers.filter_map(|line| line.split_once(&name));
    numbers.map(|(_, rest)| rest.split([',', '}']).next().unwrap().parse().unwrap()).collect()
}

/// The parameters of `flora run` with the same two vendors.
fn simulated(world: &World) -> BTreeMap<String, Vec<f64>> {
    let out = world.path("simulated");
    let participants = format!("federation.participants={VENDORS:?}");
    let mut command = flora(&cache());
    command.args(["run", "examples/flower-stock/experiment.toml", "--set", &participants]);
    command.arg("--out").arg(&out);
    done(command);
    let file = std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap();
    let record = ParameterRecord::from_safetensors(&file).unwrap();
    let named = |name: &str| name.strip_prefix("base_model.model.").unwrap().to_owned();
    record
        .iter()
        .map(|(name, tensor)| {
            (named(name), tensor.to_f32().iter().map(|&it| f64::from(it)).collect())
        })
        .collect()
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn flowers_own_strategies_train_flora_nodes() {
    let (world, _starter) = two_vendors();
    let averaged = run(&world, "fedavg", "num-rounds=3");
    assert_eq!(averaged.matches(ALL_ANSWERED).count(), 6, "{averaged}");
    let accuracies = told(&averaged, "accuracy");
    assert_eq!(accuracies.len(), 3, "{averaged}");
    assert!(accuracies.is_sorted_by(|a, b| a < b), "{accuracies:?}");
    let (ours, dtype) = parameters(&world, "fedavg");
    let theirs = simulated(&world);
    assert!(dtype == "float32" && ours.keys().eq(theirs.keys()), "{dtype} {:?}", ours.keys());
    for (name, values) in &ours {
        let pairs = values.iter().zip(&theirs[name]);
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(values.len() == theirs[name].len() && apart < 1e-5, "{name}: {apart}");
    }

    // These mostly wait for each other's nodes, so they run in parallel.
    let cases = [
        ("fedprox", 2, "proximal-mu=10.0"),
        ("fedadam", 2, ""),
        ("dp-server-fixed", 1, ""),
        ("dp-server-adaptive", 1, ""),
        ("dp-client-fixed", 1, ""),
        ("dp-client-adaptive", 2, ""),
    ];
    let said: BTreeMap<_, _> = thread::scope(|scope| {
        let world = &world;
        let begin = |(name, rounds, set)| {
            let settings = format!("num-rounds={rounds} {set}");
            (name, scope.spawn(move || run(world, name, &settings)))
        };
        let begun = cases.map(begin);
        begun.into_iter().map(|(name, run)| (name, run.join().unwrap())).collect()
    });
    for (strategy, rounds, _) in cases {
        let said = &said[strategy];
        assert_eq!(told(said, "accuracy").len(), rounds, "{strategy}: {said}");
        assert_eq!(told(said, "train_loss").len(), rounds, "{strategy}: {said}");
        assert!(!said.contains("raised"), "{strategy}: {said}");
        // Some wrappers print it once more.
        let answered = said.matches(ALL_ANSWERED).count();
        assert!(answered >= 2 * rounds, "{strategy}: {said}");
        assert_eq!(said.matches(" results and ").count(), answered, "{strategy}: {said}");
        let (values, dtype) = parameters(&world, strategy);
        assert!(values.keys().eq(ours.keys()) && values != ours, "{strategy}");
        assert!(values.values().flatten().all(|value| value.is_finite()), "{strategy}");
        // This one computes in double precision, and sends it from the second round on.
        assert_eq!(dtype == "float64", strategy == "fedadam", "{strategy}: {dtype}");
        let bits = told(said, "norm_bit");
        assert_eq!(
            bits.len(),
            if strategy.starts_with("dp-client") { rounds } else { 0 },
            "{said}"
        );
    }
    // The proximal term keeps the nodes nearer to the sent parameters: they learn less from their own images.
    let second = |said: &str| told(said, "train_loss")[1];
    assert!(second(&said["fedprox"]) > second(&averaged));

    for node in &world.nodes {
        assert!(!node.says("refused"), "{}", node.said());
    }
    let listed = text(&world.flwr(&["ls", "--format", "json"]).stdout);
    let listed: Value = serde_json::from_str(&listed).expect(&listed);
    let runs = listed["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1 + cases.len());
    assert!(runs.iter().all(|run| run["status"] == "finished:completed"), "{listed}");
}
