//! Federations of two rounds, in this process and by the program.

use std::path::Path;

use burn::tensor::Device;
use flora::core::ParameterRecord;
use flora::tuning::{Experiment, Silent, prepare};
use serde_json::Value;

use super::support::{
    done, events, flora, killed, refused, summary, text, tiny_clip, write_experiment,
};
use super::{assert_records_near, device, name};

/// Tolerance of the losses of a trained model, relative to flex's.
const TRAINED: f64 = 1e-3;

/// The adapters after two rounds of plain gradient descent: Adam would amplify gradients that are only rounding errors.
fn trained(folder: &Path, device: &Device, path: &str) -> (ParameterRecord, ParameterRecord) {
    let text = format!(
        "name = 'things'\nseed = 3\nmodel.path = '{}'\ndata.path = '{}'\ndata.cache = '{}'\n\
         partition.kind = 'natural'\nmethod.path = '{path}'\n\
         [training]\nrounds = 2\nbatch_size = 8\nlearning_rate = 1e-2\noptimizer = 'sgd'\nweight_decay = 0.0\n\
         [federation]\nthreads = 1\n",
        tiny_clip().display(),
        folder.join("things.toml").display(),
        folder.join("cache").display(),
    );
    let run = |rounds: &str| {
        let set = [format!("training.rounds={rounds}")];
        let experiment = Experiment::from_toml("things.toml", &text, &set).unwrap();
        let prepared = prepare(experiment, device, &mut Silent).unwrap();
        let finished = prepared.run(&mut Silent);
        assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
        finished.outcome.unwrap().last
    };
    (run("0"), run("2"))
}

/// The change of each value.
fn moved((before, after): &(ParameterRecord, ParameterRecord)) -> ParameterRecord {
    let mut moved = ParameterRecord::new();
    for (name, tensor) in after.iter() {
        let before = before.get(name).unwrap().to_f32();
        let by = tensor.to_f32().iter().zip(before.iter()).map(|(a, b)| a - b).collect();
        let by = flora::core::HostTensor::from_f32(tensor.shape(), by).unwrap();
        moved.insert(name, by).unwrap();
    }
    moved
}

#[test]
fn a_federation_moves_adapters_as_on_flex_and_the_fast_path_as_the_naive_one() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let fast = moved(&trained(folder.path(), &device(), "fast"));
    let naive = moved(&trained(folder.path(), &device(), "naive"));
    assert_records_near(&fast, &naive, 1e-3, "fast beside naive");
    let flex = moved(&trained(folder.path(), &Device::flex(), "fast"));
    assert_records_near(&fast, &flex, 5e-3, "two rounds beside flex");
}

fn run(folder: &Path, device: &str, out: &str, rounds: &str) -> std::process::Command {
    let mut command = flora(&folder.join("cache"));
    command.current_dir(folder).args(["run", "experiment.toml", "--device", device]);
    command.args(["--trust-device", "--set", rounds, "--out", out]);
    command
}

fn near(actual: &Value, expected: &Value, tolerance: f64, what: &str) {
    let (actual, expected) = (actual.as_f64().unwrap(), expected.as_f64().unwrap());
    println!("{}: {what}: {actual} beside {expected}", name());
    assert!((actual - expected).abs() <= tolerance, "{what}: {actual} instead of {expected}");
}

#[test]
fn a_run_of_two_rounds_says_what_flex_says_and_its_files_are_used_on_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_experiment(path);
    done(run(path, &name(), "ours", "training.rounds=2"));
    done(run(path, "flex", "flex", "training.rounds=2"));
    let (ours, flex) = (summary(&path.join("ours")), summary(&path.join("flex")));
    assert_eq!((&ours["device"], &ours["status"]), (&name().into(), &"finished".into()));
    for which in ["zero_shot", "last"] {
        // One image of thirty may be a tie that rounding decides.
        near(&ours["accuracy"][which]["mean"], &flex["accuracy"][which]["mean"], 0.04, which);
    }
    let losses = |run: &str| -> Vec<Value> {
        let told = events(&path.join(run)).into_iter();
        told.filter(|event| event["event"] == "evaluated" && event["model"] == "global")
            .map(|event| event["loss"].clone())
            .collect()
    };
    let (ours, flex) = (losses("ours"), losses("flex"));
    assert_eq!((ours.len(), flex.len()), (3, 3));
    for (ours, flex) in ours.iter().zip(&flex) {
        near(ours, flex, TRAINED * flex.as_f64().unwrap(), "loss");
    }

    // The run's own numbers, from its adapter; then the same from a checkpoint with the adapter merged.
    let json = |arguments: &[&str]| -> Value {
        let mut command = flora(&path.join("cache"));
        command.current_dir(path).args(arguments).args(["--device", &name(), "--trust-device"]);
        serde_json::from_slice(&done(command).stdout).unwrap()
    };
    let scored = json(&["eval", "--run", "ours", "--json"]);
    let mut export = flora(&path.join("cache"));
    export.current_dir(path).args(["export", "--run", "ours", "--merged", "--out", "merged"]);
    export.args(["--device", &name(), "--trust-device"]);
    done(export);
    let merged = json(&["eval", "--model", "merged", "--data", "things.toml", "--json"]);
    near(&merged["top1"], &scored["top1"], 0.04, "merged");
}

/// On the CPU the result is bit-identical to an uninterrupted run; other devices may round differently.
#[test]
fn a_run_that_is_killed_goes_on_on_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_experiment(path);
    // Long enough to be killed.
    let is_cpu = flora::device::is_cpu(&name());
    let last = if is_cpu { 40 } else { 6 };
    let rounds = &format!("training.rounds={last}");
    killed(run(path, &name(), "killed", rounds), &path.join("killed"));
    let mut resume = flora(&path.join("cache"));
    resume.current_dir(path).args(["run", "--resume", "killed", "--trust-device"]);
    done(resume);
    let resumed = summary(&path.join("killed"));
    assert_eq!(resumed["last_round"], last);
    done(run(path, &name(), "whole", rounds));
    let load = |run: &str| {
        ParameterRecord::load(path.join(run).join("adapter/adapter_model.safetensors")).unwrap()
    };
    let tolerance = if is_cpu { 0.0 } else { 0.2 };
    assert_records_near(&load("killed"), &load("whole"), tolerance, "killed and resumed");
}

#[test]
fn the_program_lists_the_device_and_remembers_that_it_passed() {
    let folder = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = flora(folder.path());
        command.args(arguments);
        command
    };
    let listing = done(command(&["devices", "--json"]));
    let listing: Value = serde_json::from_slice(&listing.stdout).unwrap();
    let devices = listing["devices"].as_array().unwrap();
    let listed = |it: &Value| {
        let device = it["device"].as_str().unwrap();
        device == name() || device.starts_with(&format!("{}:", name()))
    };
    assert!(devices.iter().any(listed), "{listing}");

    let image = "datasets/emoji-vendors/images/fluent-emoji-flat/test/animal-bird/1F414.png";
    let (tiny, name) = (tiny_clip(), name());
    let classify = ["classify", "--labels", "a,b", "--model", tiny.to_str().unwrap(), "--device"];
    let classify = [&classify[..], &[name.as_str(), image]].concat();
    let first = text(&done(command(&classify)).stderr);
    assert_eq!(first.contains("compared with flex"), name != "flex", "{first}");
    let second = text(&done(command(&classify)).stderr);
    assert!(!second.contains("compared with flex"), "{second}");
    let file = folder.path().join("devices.jsonl");
    assert_eq!(file.exists(), name != "flex");

    let checked = done(command(&["devices", "--check", &name, "--json"]));
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked[0]["passed"], true, "{checked}");
    assert!(checked[0]["operations"].as_array().unwrap().len() >= 6, "{checked}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = flora(folder.path());
    command.args(["run", "quickstart", "--device", "vulkan:77"]).arg("--out");
    command.arg(folder.path().join("run"));
    let said = refused(command, 2);
    let built = cfg!(feature = "vulkan");
    assert_eq!(said.contains("adapter 77"), built, "{said}");
    assert_eq!(said.contains("cargo build --release --features vulkan"), !built, "{said}");
    assert!(!folder.path().join("run").exists());
}
