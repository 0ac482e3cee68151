//! Trained parameters of a run, used by other commands with the run's settings.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{copy, done, flora, refused, small, summary, text};

struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run with these additional settings.
    fn run(&self, name: &str, settings: &[&str]) -> PathBuf {
        self.told(name, settings).0
    }

    /// A run with these additional settings, and its output.
    fn told(&self, name: &str, settings: &[&str]) -> (PathBuf, String) {
        let out = self.path(name);
        let few = ["training.rounds=2", "data.limit={train=160,test=60}"];
        let output = done(small(&self.path("cache"), &[&few, settings].concat(), &out));
        (out, text(&output.stdout))
    }

    fn flora(&self, arguments: &[&str]) -> Command {
        let mut command = flora(&self.path("cache"));
        command.args(arguments);
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = done(self.flora(&[arguments, &["--json"]].concat()));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

const MERGED: &str = "data.protocol=merged-80-20:7";

#[test]
fn a_run_is_scored_on_the_images_that_it_held_out() {
    let setup = Setup::new();
    for (name, method) in
        [("flora", "flora"), ("head", "fedlc"), ("whole", "fedvm-lc"), ("sums", "lda")]
    {
        let run = setup.run(name, &[MERGED, &format!("method.name={method}")]);
        let csv = setup.path("predictions.csv");
        let _ = std::fs::remove_file(&csv);
        let evaluation = setup.json(&["eval", "--run", shown(&run), "--predictions", shown(&csv)]);
        // To the last digit.
        let last = &summary(&run)["accuracy"]["last"];
        assert_eq!(evaluation["run"]["accuracy"], *last, "{method}");
        assert_eq!(evaluation["run"]["told"], *last, "{method}");
        assert_eq!(evaluation["num_images"], 60);
        assert_eq!(evaluation["protocol"], "merged-80-20:7");
        assert_eq!(evaluation["split"], "test");
        assert_eq!(evaluation["notes"], serde_json::json!([]));

        let mut table = csv_rows(&csv);
        let header = table.remove(0);
        assert_eq!(header[..4], ["path", "label", "prediction", "probability"]);
        assert_eq!(header.len(), 4 + evaluation["classes"].as_array().unwrap().len());
        let right = table.iter().filter(|row| row[1] == row[2]).count();
        assert_eq!(right as f64 / 60.0, evaluation["top1"].as_f64().unwrap(), "{method}");
        let partition = std::fs::read_to_string(run.join("partition.json")).unwrap();
        let partition: Value = serde_json::from_str(&partition).unwrap();
        let clients = partition["clients"].as_array().unwrap();
        let held: usize = clients.iter().map(|it| it["test"].as_array().unwrap().len()).sum();
        assert_eq!(table.len(), held);

        // A report evaluates both models by itself.
        done(setup.flora(&["report", shown(&run), "--predictions"]));
        assert_eq!(
            std::fs::read(run.join("predictions.csv")).unwrap(),
            std::fs::read(&csv).unwrap()
        );
        let before = csv_rows(&run.join("predictions-before.csv"));
        let right = before.iter().filter(|row| row[1] == row[2]).count() as f64 / held as f64;
        let zero_shot = &summary(&run)["accuracy"]["zero_shot"]["weighted"];
        assert!(
            (right - zero_shot.as_f64().unwrap()).abs() < 1e-9,
            "{method}: {right}, {zero_shot}"
        );
        let page = std::fs::read_to_string(run.join("report.html")).unwrap();
        assert!(page.contains("Confusions before training"), "{method}");
        let again = refused(setup.flora(&["report", shown(&run), "--predictions"]), 2);
        assert!(again.contains("--overwrite"), "{again}");
    }
    let both = [shown(&setup.path("flora")), shown(&setup.path("head"))].map(str::to_owned);
    let said = refused(setup.flora(&["report", &both[0], &both[1], "--predictions"]), 2);
    assert!(said.contains("name one run"), "{said}");
}

#[test]
fn a_run_in_bf16_is_scored_in_bf16() {
    let setup = Setup::new();
    let run = setup.run("run", &[MERGED, "model.precision=bf16"]);
    let evaluation = setup.json(&["eval", "--run", shown(&run)]);
    assert_eq!(evaluation["run"]["told"], summary(&run)["accuracy"]["last"]);
    let flora_json = std::fs::read_to_string(run.join("adapter/flora.json")).unwrap();
    let flora_json: Value = serde_json::from_str(&flora_json).unwrap();
    assert_eq!(flora_json["precision"], "bf16");
    // Its adapter leaves images unchanged.
    let eval = |more: &[&str]| {
        let adapter = ["eval", "--adapter", shown(&run), "--data", "emoji-vendors"];
        setup.json(&[&adapter, more].concat())
    };
    assert_eq!(eval(&["--precision", "bf16"])["top1"], evaluation["top1"]);

    let said = refused(setup.flora(&["eval", "--run", shown(&run), "--precision", "f32"]), 2);
    assert!(said.contains("--precision") && said.contains("--run"), "{said}");
    let said = refused(setup.flora(&["run", "--resume", shown(&run), "--precision", "f32"]), 2);
    assert!(said.contains("--precision"), "{said}");
    let said = refused(setup.flora(&["run", "quickstart", "--precision", "f8"]), 2);
    assert!(said.contains("unknown precision; choose f32, bf16 or f16"), "{said}");
    let out = setup.path("out");
    let export = ["export", "--merged", "--precision", "bf16", "--out", shown(&out)];
    let said = refused(setup.flora(&export), 2);
    assert!(said.contains("round them with --dtype"), "{said}");
}

fn csv_rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    // The names here have no commas.
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn an_adapter_is_scored_on_what_its_run_held_out_and_says_so_where_that_is_not_known() {
    let setup = Setup::new();
    let run = setup.run("run", &[MERGED]);
    let of_run = setup.json(&["eval", "--run", shown(&run)]);
    // The run's folder works, too.
    let eval = |more: &[&str]| {
        setup.json(&[&["eval", "--adapter", shown(&run), "--data", "emoji-vendors"], more].concat())
    };
    let known = eval(&[]);
    assert_eq!(known["top1"], of_run["top1"]);
    assert_eq!(known["protocol"], "merged-80-20:7");
    assert_eq!(known["num_images"], 60);
    assert_eq!(known["notes"], serde_json::json!([]));
    let doubt = |value: Value| value["notes"].to_string();
    assert!(doubt(eval(&["--protocol", "official"])).contains("split by merged-80-20:7"));
    assert!(doubt(eval(&["--split", "all"])).contains("training images"));
    assert_eq!(eval(&["--limit", "train=10,test=20"])["num_images"], 20);

    // A name is not enough: these are other images.
    let other = setup.path("other");
    let images = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../datasets/emoji-vendors/images/fxemoji/test");
    for class in ["animal-bird", "animal-bug"] {
        copy(&images.join(class), &other.join(class));
    }
    let toml =
        "name = \"emoji-vendors\"\n[layout]\nkind = \"image-folder\"\npattern = \"{class}\"\n";
    std::fs::write(other.join("dataset.toml"), toml).unwrap();
    let same_name = setup.json(&["eval", "--adapter", shown(&run), "--data", shown(&other)]);
    assert_eq!((&same_name["split"], &same_name["protocol"]), (&Value::from("all"), &Value::Null));
    let notes = doubt(same_name);
    assert!(notes.contains("but other images") && notes.contains("other classes"), "{notes}");

    // Without flora's own file it is an ordinary adapter.
    std::fs::remove_file(run.join("adapter/flora.json")).unwrap();
    let unknown = eval(&["--limit", "40"]);
    assert!(doubt(unknown.clone()).contains("not known"), "{unknown}");
    assert_eq!(unknown["protocol"], "official");
    let more = ["eval", "--adapter", shown(&run), "--data", "emoji-vendors", "--best"];
    assert!(refused(setup.flora(&more), 2).contains("--run DIR"));
}

#[test]
fn another_base_is_told_with_both_names() {
    let setup = Setup::new();
    let run = setup.run("run", &[]);
    let base = setup.path("other-nano");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano"), &base);
    let weights = base.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let arguments =
        ["eval", "--model", shown(&base), "--adapter", shown(&run), "--data", "emoji-vendors"];
    let warned = |more: &[&str]| text(&done(setup.flora(&[&arguments, more].concat())).stderr);
    let said = warned(&["--limit", "20"]);
    assert!(said.contains("models/clip-nano") && said.contains("other-nano"), "{said}");
    // Preprocessing counts as much as weights.
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    std::fs::copy(nano.join("model.safetensors"), &weights).unwrap();
    let settings = base.join("preprocessor_config.json");
    let changed = std::fs::read_to_string(&settings).unwrap().replace("0.48145", "0.1");
    std::fs::write(&settings, changed).unwrap();
    let said = warned(&["--limit", "20"]);
    assert!(said.contains("same weights with another configuration"), "{said}");

    let experiment = run.join("experiment.toml");
    let toml = std::fs::read_to_string(&experiment).unwrap();
    std::fs::write(&experiment, toml.replace("models/clip-nano", shown(&base))).unwrap();
    let said = refused(setup.flora(&["eval", "--run", shown(&run)]), 2);
    assert!(said.contains("experiment.toml") && said.contains("put the original back"), "{said}");

    // For adapters from elsewhere only a name is known.
    std::fs::remove_file(run.join("adapter/flora.json")).unwrap();
    let said = warned(&["--limit", "20"]);
    assert!(said.contains("clip-nano as its base model"), "{said}");
}

#[test]
fn parameters_of_another_run_are_told() {
    let setup = Setup::new();
    let run = setup.run("run", &[]);
    let other = setup.run("other", &["seed=7"]);
    copy(&other.join("adapter"), &run.join("adapter"));
    for arguments in [
        &["eval", "--run", shown(&run)][..],
        &["classify", "--run", shown(&run), "datasets/emoji-vendors/images"],
    ] {
        let said = refused(setup.flora(arguments), 2);
        assert!(said.contains("flora.json") && said.contains("not the one in run.json"), "{said}");
    }
    std::fs::remove_file(run.join("adapter/flora.json")).unwrap();
    let said = refused(setup.flora(&["eval", "--run", shown(&run)]), 2);
    assert!(said.contains("is now missing"), "{said}");
}

#[test]
fn images_are_classified_embedded_and_exported_with_what_a_run_trained() {
    let setup = Setup::new();
    let image = "datasets/emoji-vendors/images/fluent-emoji-flat/test/animal-bird/1F414.png";
    for method in ["flora", "fedaa", "fedprompt", "fedfft", "ridge"] {
        let run = setup.run(method, &[&format!("method.name={method}")]);
        let evaluation = setup.json(&["eval", "--run", shown(&run)]);
        let classes: Vec<&str> =
            evaluation["classes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let csv = setup.path(&format!("{method}.csv"));
        done(setup.flora(&["classify", "--run", shown(&run), "--csv", shown(&csv), image]));
        let rows = csv_rows(&csv);
        assert_eq!(rows[0][..3], ["path", "prediction", "probability"]);
        assert!(rows[0].contains(&format!("p({})", classes[0])));
        assert_eq!(rows[1][0], image);

        // The checkpoint equals the run, for a method that changes CLIP alone.
        let out = setup.path(&format!("{method}-exported"));
        let said = done(setup.flora(&["export", "--run", shown(&run), "--out", shown(&out)]));
        let beside = text(&said.stderr).contains("only its CLIP");
        assert_eq!(beside, ["fedaa", "fedprompt"].contains(&method), "{method}");
        assert_eq!(out.join("classifier.safetensors").is_file(), method == "ridge");
        if !beside && method != "ridge" {
            // It contains the name of its training data.
            let exported = setup.json(&["eval", "--model", shown(&out), "--data", "emoji-vendors"]);
            assert_eq!(exported["notes"], serde_json::json!([]));
            assert_eq!(exported["num_images"], 60);
            let (ours, theirs) = (&evaluation["top1"], &exported["top1"]);
            assert_eq!(ours, theirs, "{method}");
        }
        let rows = setup.path(&format!("{method}.npy"));
        done(setup.flora(&[
            "embed",
            "--run",
            shown(&run),
            "--images",
            image,
            "--out",
            shown(&rows),
        ]));
        assert!(rows.exists());
    }
    let of_base = setup.path("base.npy");
    done(setup.flora(&["embed", "--images", image, "--out", shown(&of_base)]));
    let read = |name: &str| std::fs::read(setup.path(name)).unwrap();
    assert_eq!(read("base.npy"), read("flora.npy"), "only texts are adapted");
    assert_eq!(read("base.npy"), read("ridge.npy"), "the classifier is beside CLIP");
    assert_ne!(read("base.npy"), read("fedfft.npy"));
}

/// A tiny step makes no round better than the first.
#[test]
fn after_an_early_stop_the_best_round_is_what_the_hint_scores() {
    let setup = Setup::new();
    let few = ["data.validation=0.25", "training.patience=1", "training.learning_rate=1e-9"];
    let (run, said) = setup.told("stopped", &few);
    let told = summary(&run);
    assert_eq!((&told["stopped_early"], &told["best_round"]), (&Value::from(1), &Value::from(0)));
    let hint = said.lines().find_map(|line| line.split_once("to evaluate them: flora "));
    let (_, hint) = hint.expect("how to score the test images");
    assert!(hint.ends_with(" --best"), "{hint}");
    assert_eq!(setup.json(&["eval", "--run", shown(&run), "--best"])["split"], "test");
    // All rounds ran, and the last is the best: nothing to choose.
    let (_, said) = setup.told("whole", &["data.validation=0.25", "training.rounds=0"]);
    assert!(said.contains("to evaluate them: flora eval") && !said.contains("--best"), "{said}");
}

/// The description of the model of round 0.
fn start(said: &str) -> &str {
    let first = said.lines().find(|line| line.starts_with("round  0")).expect("round 0 is told");
    first.split_once("weighted ").expect("it is called something").1
}

/// FLoRA first and a classifier on top, and the reverse; the files they came from may be gone by then.
#[test]
fn adapters_and_classifiers_go_together() {
    let setup = Setup::new();
    let image = "datasets/emoji-vendors/images/fluent-emoji-flat/test/animal-bird/1F414.png";
    for (first, second, key) in
        [("flora", "ridge", "method.init_adapter"), ("lda", "flora", "method.head")]
    {
        let (below, said) = setup.told(first, &[&format!("method.name={first}")]);
        assert_eq!(start(&said), "(zero-shot)", "{first}");
        let named = [format!("method.name={second}"), format!("{key}={}", shown(&below))];
        let (over, said) = setup.told("over", &[&named[0], &named[1]]);
        assert_eq!(start(&said), "(before training)", "{second}");
        assert!(over.join("adapter/adapter_model.safetensors").is_file());
        assert!(over.join("trained.safetensors").is_file());
        std::fs::remove_dir_all(&below).unwrap();
        let evaluation = setup.json(&["eval", "--run", shown(&over)]);
        assert_eq!(evaluation["run"]["accuracy"], summary(&over)["accuracy"]["last"], "{second}");
        assert_eq!(evaluation["run"]["told"], evaluation["run"]["accuracy"], "{second}");
        let on_data = setup.json(&["eval", "--run", shown(&over), "--data", "emoji-vendors"]);
        assert_eq!(on_data["top1"], evaluation["top1"], "{second}");
        let labels = ["--labels", "a thing that nobody knows,bird"];
        done(setup.flora(&[&["classify", "--run", shown(&over), image][..], &labels].concat()));
    }
}

/// Late clients are added to the sums of a run, and leaving ones are subtracted.
#[test]
fn clients_come_late_and_leave() {
    let setup = Setup::new();
    let plain = "method={ name = 'ridge', closed_form = { lambda = 0.01, shifts = false } }";
    let run = |name: &str, more: &[&str]| setup.run(name, &[&[plain], more].concat());
    let only = |ids: &str| format!("federation.participants=[{ids}]");
    let from = |run: &Path| format!("method.closed_form.start={}", shown(run));
    let all = run("all", &[]);
    let early = run("early", &[&only("'fluent-emoji', 'fxemoji', 'openmoji'")]);
    let late = run("late", &[&from(&early), &only("'fluent-emoji-flat'")]);
    let accuracy = |run: &Path| summary(run)["accuracy"]["last"].clone();
    assert_eq!(accuracy(&late), accuracy(&all));
    let left = [&from(&late)[..], &only("'fluent-emoji-flat'"), "method.closed_form.leaving=true"];
    assert_eq!(accuracy(&run("left", &left)), accuracy(&early));
    let twice = setup.path("twice");
    let again = [plain, &from(&late), &only("'openmoji'"), "data.limit={train=160,test=60}"];
    let said = refused(small(&setup.path("cache"), &again, &twice), 2);
    assert!(said.contains("openmoji is counted in the sums already"), "{said}");
}

/// Each file of sums lists the clients whose images it contains: the last, one in `rounds/`, and the best, which is the
/// previous one here, because a classifier without weight makes no round better.
#[test]
fn every_file_of_sums_says_whose_images_it_has() {
    let setup = Setup::new();
    let closed_form = "closed_form = { lambda = 0.01, shifts = false, weight = 0.0 }";
    let plain = format!("method={{ name = 'ridge', {closed_form} }}");
    let early =
        setup.run("early", &[&plain, "federation.participants=['fluent-emoji', 'fxemoji']"]);
    let start = format!("method.closed_form.start={}", shown(&early));
    let late = "federation.participants=['openmoji']";
    let run = setup.run("late", &[&plain, &start, late, "output.keep_every=1"]);
    assert_eq!(summary(&run)["best_round"], 0);
    let clients = |folder: &str| {
        let file = flora::core::TensorFile::open(run.join(folder).join("trained.safetensors"));
        let provenance: Value = serde_json::from_str(&file.unwrap().metadata()["flora"]).unwrap();
        provenance["clients"].clone()
    };
    let before = serde_json::json!(["fluent-emoji", "fxemoji"]);
    let after = serde_json::json!(["fluent-emoji", "fxemoji", "openmoji"]);
    assert_eq!(clients("."), after);
    assert_eq!(clients("rounds/round-0001"), after);
    assert_eq!(clients("best"), before);
}

/// One of four clients sends sums that no images have.
#[test]
fn a_client_that_sends_impossible_sums_is_named_to_the_end() {
    let setup = Setup::new();
    let (run, said) = setup.told("huge", &["method.name=ridge", "faults.huge=0.25"]);
    let told = summary(&run);
    let uncounted = told["uncounted"].as_array().unwrap();
    let [client] = &uncounted[..] else { panic!("{uncounted:?}") };
    let client = client.as_str().unwrap();
    let refused = format!("warning: round 1: client {client}: its classes hold ");
    assert!(said.contains(&refused), "{said}");
    let lacks = format!("warning: the sums lack the images of {client}, whose replies");
    assert!(said.contains(&lacks), "{said}");
    let file = flora::core::TensorFile::open(run.join("trained.safetensors")).unwrap();
    let provenance: Value = serde_json::from_str(&file.metadata()["flora"]).unwrap();
    let clients = provenance["clients"].as_array().unwrap();
    assert!(clients.len() == 3 && !clients.contains(&Value::from(client)), "{clients:?}");
    // As the warning suggests.
    let start = format!("method.closed_form.start={}", shown(&run));
    let only = format!("federation.participants=[\"{client}\"]");
    let added = setup.run("added", &["method.name=ridge", &start, &only]);
    assert!(summary(&added).get("uncounted").is_none());
    let all = setup.run("all", &["method.name=ridge"]);
    assert_eq!(summary(&added)["accuracy"]["last"], summary(&all)["accuracy"]["last"]);
}

#[test]
fn clients_that_keep_their_own_models_are_scored_with_these() {
    let setup = Setup::new();
    let alone = ["federation.participants=alone", "output.keep_clients=true"];
    let run = setup.run("alone", &alone);
    let evaluation = setup.json(&["eval", "--run", shown(&run)]);
    assert_eq!(evaluation["run"]["accuracy"], summary(&run)["accuracy"]["last"]);
    let one = setup.json(&["eval", "--run", shown(&run), "--client", "fxemoji"]);
    assert_eq!(one["run"]["clients"].as_array().unwrap().len(), 1);
    let image = "datasets/emoji-vendors/images/fluent-emoji-flat/test/animal-bird/1F414.png";
    let said = refused(setup.flora(&["classify", "--run", shown(&run), image]), 2);
    assert!(said.contains("--client ID"), "{said}");
    done(setup.flora(&["classify", "--run", shown(&run), "--client", "fxemoji", image]));
    for (arguments, expected) in [
        (["eval", "--run", shown(&run), "--client", "nobody"], "no client \"nobody\""),
        (["eval", "--run", shown(&run), "--template", "a {}"], "run's own prompts"),
    ] {
        let said = refused(setup.flora(&arguments), 2);
        assert!(said.contains(expected), "{said}");
    }
    let said = refused(setup.flora(&["eval", "--run", shown(&run), "--best"]), 2);
    assert!(said.contains("last training only"), "{said}");
}

/// The run's own number or an error, but never another number.
#[test]
fn a_flipped_byte_in_a_run_is_an_error() {
    let setup = Setup::new();
    let run = setup.run("run", &[]);
    let expected = setup.json(&["eval", "--run", shown(&run)]);
    for name in [
        "experiment.toml",
        "partition.json",
        "run.json",
        "adapter/flora.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    ] {
        let file = run.join(name);
        let bytes = std::fs::read(&file).unwrap();
        for part in [0.03, 0.5, 0.9] {
            let mut damaged = bytes.clone();
            damaged[(part * bytes.len() as f64) as usize] ^= 1;
            std::fs::write(&file, damaged).unwrap();
            let output = setup.flora(&["eval", "--json", "--run", shown(&run)]).output().unwrap();
            let said = text(&output.stderr);
            assert!(!said.contains("panicked"), "{said}");
            match output.status.code() {
                Some(0) => {
                    let evaluation: Value = serde_json::from_slice(&output.stdout).unwrap();
                    assert_eq!(evaluation, expected, "{name} {part}");
                }
                code => assert_eq!(code, Some(2), "{said}"),
            }
        }
        std::fs::write(&file, bytes).unwrap();
    }
    assert_eq!(setup.json(&["eval", "--run", shown(&run)]), expected);
}

#[test]
fn a_run_that_has_not_ended_says_how_to_go_on() {
    let setup = Setup::new();
    let run = setup.run("run", &[]);
    std::fs::remove_file(run.join("run.json")).unwrap();
    let said = refused(setup.flora(&["eval", "--run", shown(&run)]), 2);
    assert!(said.contains("flora run --resume"), "{said}");
    let said = refused(setup.flora(&["eval", "--run", "nothing-here"]), 2);
    assert!(said.contains("no such run"), "{said}");
    let said = refused(setup.flora(&["eval", "--run", shown(&run), "--model", "clip-nano"]), 2);
    assert!(said.contains("cannot be used with"), "{said}");
}
