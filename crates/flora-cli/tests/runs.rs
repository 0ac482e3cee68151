//! `flora runs`: lists and comparisons of run folders.

use std::path::Path;
use std::process::{Command, Output};

fn flora(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flora")).args(arguments).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

/// A run that was killed after its first rounds.
fn write_run(folder: &Path, rate: &str, accuracies: &[f64]) {
    std::fs::create_dir_all(folder).unwrap();
    let experiment = format!(
        "name = 'x'\ndata.path = 'datasets/pets.toml'\nmethod.name = 'flora'\n\
         training = {{ rounds = 9, learning_rate = {rate} }}\n"
    );
    std::fs::write(folder.join("experiment.toml"), experiment).unwrap();
    let line = |(round, accuracy): (usize, &f64)| {
        format!(
            "{{\"event\":\"evaluated\",\"round\":{round},\"model\":\"global\",\
             \"accuracy\":{accuracy},\"accuracy_weighted\":{accuracy},\
             \"clients\":[{{\"num_examples\":4}}]}}\n"
        )
    };
    let lines: String = accuracies.iter().enumerate().map(line).collect();
    std::fs::write(folder.join("metrics.jsonl"), lines).unwrap();
}

#[test]
fn runs_are_listed_whatever_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(stdout(&flora(folder, &["runs"])).starts_with("no runs here"));
    assert_eq!(json(&flora(folder, &["runs", "--json"])), serde_json::json!([]));

    write_run(&folder.join("runs/killed"), "1e-3", &[0.1, 0.4]);
    write_run(&folder.join("runs/sweeps/rates/0.1"), "1e-1", &[0.1]);
    std::fs::write(folder.join("runs/sweeps/rates/0.1/run.json"), "{").unwrap();
    let table = stdout(&flora(folder, &["runs"]));
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    for cell in ["flora", "pets", "1/9", "40.0", "interrupted"] {
        assert!(row("killed ").contains(cell), "{cell}: {table}");
    }
    assert!(row("sweeps/rates/0.1 ").contains("unreadable: run.json: "), "{table}");

    let rows = json(&flora(folder, &["runs", "runs/killed", "--json"]));
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["state"], "interrupted");
    assert_eq!(rows[0]["accuracy"]["last"]["mean"], 0.4);

    let output = flora(folder, &["runs", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
}

#[test]
fn runs_are_compared_by_folder_or_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_run(&folder.join("runs/slow"), "1e-4", &[0.1, 0.2]);
    write_run(&folder.join("elsewhere/fast"), "1e-2", &[0.1, 0.5, 0.3]);
    let table = stdout(&flora(folder, &["runs", "compare", "slow", "elsewhere/fast"]));
    assert!(table.contains("training.learning_rate  0.0001"), "{table}");
    assert!(table.contains("30.0 (round 2)"), "{table}");
    assert!(table.contains("elsewhere/fast: the last round (30.0 %) is below the best"), "{table}");

    let both = json(&flora(folder, &["runs", "compare", "--json", "runs/slow", "elsewhere/fast"]));
    assert_eq!(both["settings"][0]["values"], serde_json::json!([1e-4, 1e-2]));
    assert_eq!(both["rounds"][2]["accuracy"], serde_json::json!([null, 0.3]));

    for arguments in [&["runs", "compare", "slow", "none"][..], &["runs", "compare", "slow"]] {
        assert_eq!(flora(folder, arguments).status.code(), Some(2), "{arguments:?}");
    }
    let error = flora(folder, &["runs", "compare", "slow", "none"]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("none: no such run"), "{error:?}");
}
