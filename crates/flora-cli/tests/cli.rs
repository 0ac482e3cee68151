//! The program from a user's view: output, files and exit codes.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{tiny_clip, write_experiment};

/// A command in its own folder, with its own cache.
fn flora(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flora"))
        .args(arguments)
        .current_dir(folder)
        .env("FLORA_CACHE", folder.join("cache"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message of a command that must fail with this exit code.
fn refused(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = flora(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

#[test]
fn a_run_leaves_its_folder_and_tells_its_story() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    let output = flora(dir.path(), &["run", "experiment.toml"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    for word in ["round  0", "zero-shot", "acme", "zenith", "weighted", "memory", "runs/things"] {
        assert!(shown.contains(word), "{word} is missing:\n{shown}");
    }

    let run = dir.path().join("runs/things");
    let read = |name: &str| std::fs::read_to_string(run.join(name)).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!(summary["status"], "finished");
    assert_eq!(summary["last_round"], 2);
    assert_eq!(summary["seed"], 0);
    assert!(summary["seconds"]["training"].as_f64().unwrap() > 0.0);
    // Two rounds of two clients; r = 2 on three text layers of width 24.
    let adapter = 3 * 2 * (24 + 24);
    assert_eq!(summary["trainable_parameters"], adapter);
    assert_eq!(summary["bytes_up"], 2 * 2 * 4 * adapter);

    let events: Vec<serde_json::Value> =
        read("metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let global: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "evaluated" && event["model"] == "global")
        .collect();
    assert_eq!(global.len(), 3, "rounds 0, 1 and 2");
    for (round, event) in global.iter().enumerate() {
        assert_eq!(event["round"], round);
        let clients = event["clients"].as_array().unwrap();
        let mean =
            clients.iter().map(|client| client["accuracy"].as_f64().unwrap()).sum::<f64>() / 2.0;
        assert!((event["accuracy"].as_f64().unwrap() - mean).abs() < 1e-12);
    }
    let resolved = read("experiment.toml");
    assert!(resolved.contains("weight_decay") && resolved.contains("lora_alpha"), "{resolved}");
    assert!(read("partition.json").contains("zenith"));
    assert!(read("adapter/adapter_config.json").contains("LORA"));
    assert!(run.join("adapter/adapter_model.safetensors").exists());

    // The resolved file is an experiment itself, and gives the same adapters.
    let again = flora(dir.path(), &["run", "runs/things/experiment.toml", "--out", "again"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let adapter =
        |run: &Path| std::fs::read(run.join("adapter/adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&run), adapter(&dir.path().join("again")));

    let seeded = ["run", "experiment.toml", "--seed", "7", "--out", "seeded"];
    assert!(flora(dir.path(), &seeded).status.success());
    assert_ne!(adapter(&run), adapter(&dir.path().join("seeded")));
    let message = refused(dir.path(), 2, &["run", "experiment.toml", "--out", "seeded"]);
    assert!(message.contains("--overwrite"), "{message}");
}

#[test]
fn a_run_that_diverges_fails_but_keeps_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    let set = ["run", "experiment.toml", "--out", "run", "--set", "training.learning_rate=1e30"];
    refused(dir.path(), 1, &set);
    let summary = std::fs::read_to_string(dir.path().join("run/run.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["status"], "failed");
    assert!(summary["error"].as_str().unwrap().contains("learning_rate"), "{summary}");
    assert!(summary["accuracy"]["zero_shot"]["mean"].is_number(), "{summary}");
}

#[test]
fn bad_input_ends_with_two_and_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    let run =
        |set: &str| refused(dir.path(), 2, &["run", "experiment.toml", "--out", "x", "--set", set]);

    let message = refused(dir.path(), 2, &["run", "quickstrat"]);
    assert!(message.contains("quickstart"), "{message}");
    let message = refused(dir.path(), 2, &["run", "absent.toml"]);
    assert!(message.contains("absent.toml"), "{message}");
    let message = run("training.epochs=3");
    assert!(message.contains("epochs") && message.contains("local_epochs"), "{message}");
    let message = run("model.path=no/such/model");
    assert!(message.contains("no/such/model"), "{message}");
    let message = run("data.path=no/such/data.toml");
    assert!(message.contains("no/such/data.toml"), "{message}");
    let message = run("partition={kind='dirichlet', clients=30, beta=0.1, min_samples=50}");
    assert!(message.contains("min_samples") && message.contains("1500"), "{message}");
    let message = refused(dir.path(), 2, &["run", "experiment.toml", "--device", "cuda"]);
    assert!(message.contains("--features cuda"), "{message}");

    let broken = dir.path().join("images/acme/train/ball/0.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let message = run("training.rounds=1");
    assert!(message.contains("0.png"), "{message}");
    assert!(!dir.path().join("x").exists(), "bad input must leave no folder behind");
}

#[test]
fn validation_images_are_shown_saved_and_scored_on() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    const SET: [&str; 4] =
        ["--set", "data.validation=0.2", "--set", "data.protocol=stratified-80-20:3"];
    const FILE: [&str; 2] = ["--set", "partition={ kind = \"file\", path = \"dealt.json\" }"];
    let arguments = [&["partition", "experiment.toml", "--out", "dealt.json"][..], &SET].concat();
    let said = text(&flora(dir.path(), &arguments).stdout);
    assert!(said.contains("validation + test") && said.contains(" + 6"), "{said}");

    let arguments = [&["run", "experiment.toml", "--out", "out"][..], &SET, &FILE].concat();
    let output = flora(dir.path(), &arguments);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("accuracy %, validation images"), "{said}");
    let json = std::fs::read_to_string(dir.path().join("out/run.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["scored_on"], "validation");
    let scored: u64 = json["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["num_examples"].as_u64().unwrap())
        .sum();
    // A fifth of 48, rounded up or down.
    assert!((9..=10).contains(&scored), "{scored}");

    // Changes one digit of one image's number.
    let path = dir.path().join("dealt.json");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(9).position(|window| window == b"\"train\":[").unwrap() + 9;
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let arguments = [&["partition", "experiment.toml"][..], &SET, &FILE].concat();
    let message = refused(dir.path(), 2, &arguments);
    assert!(message.contains("dealt.json") && message.contains("sha256"), "{message}");
}

#[test]
fn lists_and_partitions_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    let presets = text(&flora(dir.path(), &["presets"]).stdout);
    assert!(presets.contains("quickstart") && presets.contains("paper-fast"), "{presets}");
    let one = text(&flora(dir.path(), &["presets", "paper"]).stdout);
    assert!(one.contains("learning_rate = 5e-5"), "{one}");
    let datasets = text(&flora(dir.path(), &["datasets"]).stdout);
    assert!(datasets.contains("emoji-vendors") && datasets.contains("fashion-mnist"), "{datasets}");
    let arguments = ["partition", "experiment.toml", "--out", "dealt.json", "--files", "dealt.csv"];
    let dealt = flora(dir.path(), &arguments);
    let shown = text(&dealt.stdout);
    assert!(shown.contains("acme") && shown.contains("3 of 3"), "{shown}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let dealt: serde_json::Value = serde_json::from_str(&read("dealt.json")).unwrap();
    assert_eq!(dealt["clients"][0]["id"], "acme");
    assert_eq!(dealt["clients"][0]["train_classes"]["cup"], 5);
    let files = read("dealt.csv");
    assert_eq!(files.lines().count(), 1 + 60);
    assert!(files.contains("acme,train,") && files.contains("/test/hat/4.png\n"), "{files}");
    let again = ["partition", "experiment.toml", "--set", "partition.kind=file"];
    let again = flora(dir.path(), &[&again[..], &["--set", "partition.path=dealt.json"]].concat());
    assert_eq!(text(&again.stdout).lines().next(), shown.lines().next());
}

#[test]
fn images_are_classified_by_labels() {
    let dir = tempfile::tempdir().unwrap();
    write_experiment(dir.path());
    let model = tiny_clip();
    let model = model.to_str().unwrap();
    let image = "images/acme/test/cup/1.png";
    let output = flora(dir.path(), &["classify", "--model", model, "--labels", "ball,cup", image]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains(image) && shown.contains("ball") && shown.contains('%'), "{shown}");

    let labels = ["classify", "--model", model, "--labels", "ball,,cup", image];
    assert!(refused(dir.path(), 2, &labels).contains("--labels"));
    let template = ["classify", "--model", model, "--labels", "a", "--template", "photo", image];
    assert!(refused(dir.path(), 2, &template).contains("{}"));
    std::fs::write(dir.path().join("bad.png"), b"not an image").unwrap();
    let bad = ["classify", "--model", model, "--labels", "a", "bad.png", image];
    assert!(refused(dir.path(), 2, &bad).contains("bad.png"));
    assert!(text(&flora(dir.path(), &bad).stdout).contains(image), "the good one has its row");
    let twice = ["classify", "--model", model, "--labels", "a,b, a", image];
    assert!(refused(dir.path(), 2, &twice).contains("twice"));
}

#[test]
fn a_sweep_makes_a_table_and_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let sweep = "name = 'both'\nbase = 'experiment.toml'\nseeds = [0, 1]\n\
                 set = ['training.rounds=1']\n[[rows]]\nname = 'Together'\n[[rows]]\n\
                 name = 'Alone'\neach = ['federation.participants=[\"acme\"]', \
                 'federation.participants=[\"zenith\"]']\n";
    std::fs::write(folder.path().join("sweep.toml"), sweep).unwrap();
    let output = flora(folder.path(), &["sweep", "sweep.toml"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    // One line per run, in every mode.
    let line = said.lines().find(|line| line.starts_with("[6/6] alone.2-seed-1: ")).unwrap();
    assert!(line.contains(" % after round 1, ") && line.ends_with(" s"), "{line}");
    let out = folder.path().join("runs/sweeps/both");
    let table = std::fs::read_to_string(out.join("results.md")).unwrap();
    assert!(table.contains("| Together |") && table.contains("| Alone |"), "{table}");
    let lines = std::fs::read_to_string(out.join("results.csv")).unwrap().lines().count();
    assert_eq!(lines, 1 + 6 * 2, "a line for each client of each run");
    // A list of rows has no axes; its page is made all the same.
    let output = flora(folder.path(), &["report", "runs/sweeps/both"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Together") && page.contains("Alone"), "{page}");

    // A run that did not finish is repeated; the others are not.
    std::fs::remove_file(out.join("together-seed-1/run.json")).unwrap();
    let said = text(&flora(folder.path(), &["sweep", "sweep.toml"]).stdout);
    assert_eq!(said.matches("already done").count(), 5, "{said}");
    let again = std::fs::read_to_string(out.join("results.md")).unwrap();
    assert_eq!(accuracies(&again), accuracies(&table));

    std::fs::write(folder.path().join("bad.toml"), format!("{sweep}set = ['no.such=1']\n"))
        .unwrap();
    let message = refused(folder.path(), 2, &["sweep", "bad.toml"]);
    assert!(message.contains("Alone") && message.contains("`no`"), "{message}");
}

/// The part of a sweep's tables that is deterministic.
fn accuracies(table: &str) -> &str {
    table.split_once("## Costs of a round").unwrap().0
}

#[test]
fn a_grid_gives_the_same_numbers_however_many_runs_go_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let sweep = "name = 'grid'\nbase = 'experiment.toml'\nset = ['training.rounds=1']\n\
                 baseline = { method = 'FLoRA' }\nskip = [{ method = 'FedFFT', rank = '4' }]\n\
                 [[axes]]\nname = 'method'\nvalues = [{ name = 'FLoRA' }, \
                 { name = 'FedFFT', set = ['method.name=fedfft'] }]\n\
                 [[axes]]\nname = 'rank'\nvalues = [{ name = '1', set = ['method.lora.r=1'] }, \
                 { name = '4', set = ['method.lora.r=4'] }]\n\
                 [figure]\nx = 'rank'\n";
    std::fs::write(folder.path().join("grid.toml"), sweep).unwrap();
    let run = |out: &str, jobs: &str| {
        let output = flora(folder.path(), &["sweep", "grid.toml", "--out", out, "--jobs", jobs]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let read = |name: &str| std::fs::read(folder.path().join(out).join(name)).unwrap();
        let metrics = ["flora_rank-1-seed-0", "flora_rank-4-seed-0", "fedfft_rank-1-seed-0"]
            .map(|run| read(&format!("{run}/experiment.toml")));
        (said, text(&read("results.md")), read("results.png"), metrics)
    };
    let (_, one, figure, experiments) = run("one", "1");
    let (said, three, same_figure, same_experiments) = run("three", "3");
    assert_eq!(accuracies(&one), accuracies(&three));
    assert_eq!((figure, experiments), (same_figure, same_experiments));
    assert!(said.contains("[3/3] fedfft_rank-1-seed-0: "), "{said}");
    assert!(one.contains("| FedFFT, rank 1 |") && !one.contains("FedFFT, rank 4"), "{one}");
    assert!(one.contains("| method | rank: 1 | rank: 4 |"), "{one}");
    assert!(one.contains("Ratios are relative to FLoRA at the row's other values"), "{one}");
    let latex = std::fs::read_to_string(folder.path().join("one/results.tex")).unwrap();
    assert!(latex.contains("\\toprule"), "{latex}");
    assert!(!folder.path().join("one/flora_rank-1-seed-0/adapter").exists());

    let message = refused(folder.path(), 2, &["sweep", "grid.toml", "--jobs", "0"]);
    assert!(message.contains("--jobs"), "{message}");
}

#[test]
fn a_run_that_fails_is_told_and_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let sweep = "name = 'half'\nbase = 'experiment.toml'\nset = ['training.rounds=1']\n\
                 [[rows]]\nname = 'good'\n[[rows]]\nname = 'bad'\n\
                 set = ['federation.participants=[\"nobody\"]']\n";
    std::fs::write(folder.path().join("half.toml"), sweep).unwrap();
    for jobs in ["1", "2"] {
        let out = format!("out-{jobs}");
        let arguments = ["sweep", "half.toml", "--out", &out, "--jobs", jobs];
        let message = refused(folder.path(), 1, &arguments);
        assert!(message.contains("1 of 2 runs failed") && message.contains("bad-seed-0: "));
        assert!(message.contains("nobody"), "{message}");
        let table = std::fs::read_to_string(folder.path().join(&out).join("results.md")).unwrap();
        assert!(table.contains("| good |") && !table.contains("| bad |"), "{table}");
    }
}

#[test]
fn an_experiment_is_read_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let experiment = std::fs::File::open(folder.path().join("experiment.toml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flora"))
        .args(["partition", "-", "--png", "partition.png"])
        .current_dir(folder.path())
        .stdin(experiment)
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("acme") && said.contains("chart written to partition.png"), "{said}");
    assert!(image::open(folder.path().join("partition.png")).unwrap().width() > 200);
    let message = refused(folder.path(), 2, &["partition", "experiment.toml", "--png", "x.jpeg"]);
    assert!(message.contains("--png"), "{message}");
}

#[test]
fn texts_of_images_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let message = refused(folder.path(), 2, &["retrieve", "--data", "things.toml"]);
    assert!(message.contains("[texts]"), "{message}");

    let mut description = std::fs::read_to_string(folder.path().join("things.toml")).unwrap();
    description += "[texts]\nfile = 'texts.jsonl'\nkey = 'number'\ntext = 'name'\n";
    std::fs::write(folder.path().join("things.toml"), description).unwrap();
    let names = ["one", "two", "three", "four", "five", "six"].iter().enumerate();
    let lines: String = names
        .map(|(number, name)| format!("{{\"number\": \"{number}\", \"name\": \"{name}\"}}\n"))
        .collect();
    std::fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
    let model = tiny_clip();
    let model = model.to_str().unwrap();
    let arguments = ["retrieve", "--data", "things.toml", "--model", model, "--json"];
    let output = flora(folder.path(), &arguments);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let domains: Vec<_> = report.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(domains, ["acme", "zenith"]);
    assert_eq!(report[0]["image_to_text"]["candidates"], 6);
    assert_eq!(report[0]["image_to_text"]["queries"], 15);
    assert_eq!(report[1]["text_to_image"]["queries"], 5);
}

#[test]
fn a_bench_says_which_flag_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 21] = [
        (&["image"], "image-encode"),
        (&["--batch", "0"], "--batch"),
        (&["--tokens", "1000"], "--tokens"),
        (&["--tokens", "short"], "--tokens"),
        (&["--batch", "4", "--classes", "5"], "--classes"),
        (&["--threads", "9999"], "--threads"),
        (&["--repeats", "0"], "--repeats"),
        (&["--shape", "vit-z-9"], "--shape"),
        (&["--shape", "vit-z-9"], "vit-large-patch14-336 (vit-l-14-336)"),
        (&["--model", "no-such-model"], "--model"),
        (&["--model", "no-such-model"], "vit-large-patch14-336 (vit-l-14-336)"),
        (&["--device", "abacus"], "--device"),
        (&["--devices", "flex,abacus"], "--devices: abacus"),
        (&["--devices", "flex,"], "--devices: a name is empty"),
        (&["--devices", "all,flex"], "cannot be combined"),
        (&["--devices", "flex,cpu"], "--devices: cpu is named twice"),
        (&["--devices", "flex", "--repeats", "0"], "--repeats: 0"),
        (&["--devices", "flex", "--batch", "0"], "--batch: 0"),
        (&["--precision", "f32,bf16"], "--devices"),
        (&["--precision", "f64"], "f32, bf16 or f16"),
        (&["lora-step", "--precision", "bf16"], "add image-encode"),
    ];
    for (arguments, flag) in cases {
        let arguments: Vec<_> = ["bench"].iter().chain(arguments).copied().collect();
        let message = refused(folder.path(), 2, &arguments);
        assert!(message.contains(flag), "{arguments:?}: {message}");
    }
}

#[test]
fn devices_are_compared_with_flex_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_clip();
    let arguments = [
        "bench",
        "image-encode",
        "lora-step",
        "--batch",
        "2",
        "--repeats",
        "1",
        "--warmup",
        "0",
        "--tokens",
        "5",
        "--classes",
        "2",
        "--model",
        model.to_str().unwrap(),
        "--devices",
        "flex",
        "--precision",
        "f32,bf16",
    ];
    let output = flora(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let [exact, rounded] = json["devices"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((&exact["device"], &exact["precision"]), (&"flex".into(), &"f32".into()));
    let results = exact["report"]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert_eq!(
            (&result["difference"], &result["outcome"]),
            (&0.0.into(), &serde_json::Value::Null)
        );
    }
    let results = rounded["report"]["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["workload"]), (1, &"image-encode".into()));
    let difference = results[0]["difference"].as_f64().unwrap();
    assert!(difference > 1e-6 && difference < 2e-2, "{difference}");

    let output = flora(folder.path(), &arguments);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    for words in ["differs by", "image-encode, bf16", "flex in f32: matmul peak"] {
        assert!(shown.contains(words), "{words} is missing:\n{shown}");
    }
}

#[test]
fn a_bench_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_clip();
    let size = ["--batch", "2", "--repeats", "1", "--warmup", "0", "--threads", "1"];
    let workloads = ["bench", "image-encode", "lora-step", "--classes", "1"];
    let arguments: Vec<_> = workloads
        .iter()
        .chain(&size)
        .chain(&["--model", model.to_str().unwrap()])
        .copied()
        .collect();
    let output = flora(folder.path(), &arguments);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(!shown.contains('─'), "{shown}");
    for words in
        ["image-encode", "lora-step", "1 classes", "images", "samples", "% of peak", "1 thread"]
    {
        assert!(shown.contains(words), "{words} is missing:\n{shown}");
    }
    assert!(!shown.contains("aggregation"), "{shown}");
}

#[test]
fn a_budget_of_privacy_is_planned() {
    let dir = tempfile::tempdir().unwrap();
    let privacy = |arguments: &[&str]| flora(dir.path(), &[&["privacy"], arguments].concat());
    let rounds = ["--rounds", "50", "--rate", "0.1"];
    let answer = privacy(
        &[&["epsilon", "--noise", "1", "--accountant", "rdp", "--json"], &rounds[..]].concat(),
    );
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    // dp-accounting gives 5.885, from upper bounds of the divergences.
    let epsilon = json["epsilon"].as_f64().unwrap();
    assert!((epsilon - 5.881).abs() < 1e-3, "{json}");
    let few = privacy(&[&["noise", "--epsilon", "8", "--clients", "10"], &rounds[..2]].concat());
    let said = text(&few.stdout);
    assert!(said.contains("4.2444") && said.contains("more than any update"), "{said}");
    for (wrong, words) in [
        (&["epsilon", "--noise", "0"][..], "--noise: 0 is not between"),
        (
            &["epsilon", "--noise", "1", "--accountant", "exact"],
            "--accountant: exact supports full",
        ),
        (&["noise", "--epsilon=-1"], "--epsilon: -1 is not above 0"),
        (&["noise", "--epsilon", "-1"], "--epsilon: -1 is not above 0"),
        (&["noise", "--epsilon", "inf"], "--epsilon: inf is not a finite number"),
        (&["noise", "--epsilon", "1e300"], "--epsilon: 1e300 is more than the least noise"),
        (&["epsilon", "--noise", "-1"], "--noise: -1 is not between"),
        (&["epsilon", "--noise", "1e300"], "--noise: 1e300 is not between"),
        (&["epsilon", "--noise", "1", "--delta", "-1"], "--delta: -1 is not between 0 and 1"),
        (
            &["epsilon", "--noise", "0", "--delta", "0.2", "--clients", "9"],
            "--delta: 2e-1 is not below",
        ),
    ] {
        let refused = privacy(&[wrong, &rounds].concat());
        let message = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && message.contains(words), "{message}");
    }
}
