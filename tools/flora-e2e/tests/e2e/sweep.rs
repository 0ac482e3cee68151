//! A sweep, stopped and resumed.

use flora_e2e::{assert_found, flora, scratch};

const SWEEP: &str = r#"
name = "small"
base = "quickstart"
set = ["training.rounds=1"]

[[rows]]
name = "FLoRA"

[[rows]]
name = "alone"
each = ['federation.participants=["fxemoji"]', 'federation.participants=["openmoji"]']

[[rows]]
name = "everything"
set = ["method.name=fedfft", "federation.participants=[\"fxemoji\"]"]
"#;

/// The tables of accuracies: the seconds below them differ.
fn accuracies(results: &str) -> &str {
    results.split("\n## Costs of a round").next().unwrap()
}

#[test]
#[ignore = "end to end"]
fn a_resumed_sweep_has_the_same_accuracies() {
    let scratch = scratch("sweep");
    let (file, out) = (scratch.join("sweep.toml"), scratch.join("sweep"));
    std::fs::write(&file, SWEEP).unwrap();
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();

    flora!["sweep", &file, "--out", &out].ok();
    let results = read("results.md");
    for row in ["FLoRA", "alone", "everything"] {
        assert_found(&format!(r"^\| {row} \| [0-9.]* \|"), &results);
    }
    let table = read("results.csv");
    assert_eq!(table.lines().count(), 17, "{table}");

    std::fs::remove_file(out.join("alone.1-seed-0/run.json")).unwrap();
    let again = flora!["sweep", &file, "--out", &out].ok();
    let shown = again.stdout + &again.stderr;
    assert_eq!(shown.lines().filter(|line| line.contains("already done")).count(), 3, "{shown}");
    assert_eq!(accuracies(&results), accuracies(&read("results.md")));
}
