//! Run folders: what is written, what is read back, what is refused.

use std::{fs, path::Path};

use flora_federation::{ClientInfo, ClientScore, EvaluatedModel, Event, RunStatus};
use flora_report::{Accuracy, Existing, ReportError, RunFolder, RunSummary, Versions, read_events};

fn events() -> Vec<Event> {
    vec![
        Event::RunStarted {
            name: "quickstart".to_owned(),
            method: "flora".to_owned(),
            clients: vec![ClientInfo {
                id: "noto".to_owned(),
                num_examples: 100,
                num_test_examples: 20,
            }],
            rounds: 10,
            trainable_parameters: 24_576,
            total_parameters: 151_277_313,
            bytes_per_client: 98_304,
            seed: 1,
        },
        Event::Evaluated {
            round: 0,
            model: EvaluatedModel::Global,
            accuracy: 0.15,
            accuracy_weighted: 0.16,
            loss: Some(2.5),
            clients: vec![ClientScore {
                client: "noto".to_owned(),
                accuracy: 0.15,
                loss: None,
                num_examples: 20,
            }],
            seconds: 0.25,
        },
        Event::Warning { message: "two\nlines".to_owned() },
    ]
}

fn files(path: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn events_are_one_object_a_line_as_they_come() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("runs/first");
    let folder = RunFolder::create(&path, Existing::Refuse, "rounds = 10\n").unwrap();
    assert_eq!(fs::read_to_string(path.join("experiment.toml")).unwrap(), "rounds = 10\n");

    let metrics = path.join("metrics.jsonl");
    for (index, event) in events().iter().enumerate() {
        folder.record(event).unwrap();
        // The folder is still open: the line must be there already.
        assert_eq!(read_events(&metrics).unwrap(), events()[..=index]);
    }
    let text = fs::read_to_string(&metrics).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with(
        r#"{"event":"evaluated","round":0,"model":"global","accuracy":0.15,"accuracy_weighted":0.16,"#
    ));
    assert!(lines[1].contains(r#""clients":[{"client":"noto","accuracy":0.15,"#));
    assert!(lines[0].starts_with(r#"{"event":"run_started","name":"quickstart","method":"flora""#));
}

#[test]
fn a_torn_last_line_is_left_out_and_a_bad_line_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("metrics.jsonl");
    let line = serde_json::to_string(&events()[2]).unwrap();
    fs::write(&path, format!("{line}\n{line}\n{}", &line[..10])).unwrap();
    assert_eq!(read_events(&path).unwrap().len(), 2);
    fs::write(&path, &line[..10]).unwrap();
    assert_eq!(read_events(&path).unwrap().len(), 0);

    fs::write(&path, format!("{line}\n{}\n{line}\n", &line[..10])).unwrap();
    let error = read_events(&path).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl, line 2: "), "{error}");
}

#[test]
fn the_summary_comes_back_and_has_the_documented_keys() {
    let parent = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(parent.path(), Existing::Refuse, "").unwrap();
    let mut summary = RunSummary::new("quickstart", RunStatus::Finished, None);
    summary.last_round = Some(10);
    summary.accuracy.last = Some(Accuracy { mean: 0.27, weighted: 0.28, num_clients: 4 });
    summary.versions = Versions { flora: "0.1.0".to_owned(), burn: "0.22.1".to_owned() };
    let written = folder.write_summary(&summary).unwrap();
    let files: Vec<&str> = written.files.keys().map(String::as_str).collect();
    assert_eq!(files, ["experiment.toml", "metrics.jsonl"]);
    let path = parent.path().join("run.json");
    assert_eq!(RunSummary::load(&path).unwrap(), written);
    summary.files = written.files;
    assert_eq!(RunSummary::load(&path).unwrap(), summary);
    folder.record(&events()[0]).unwrap();
    summary.check_file(parent.path(), "experiment.toml").unwrap();
    let error = summary.check_file(parent.path(), "metrics.jsonl").unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl: it is damaged or was edited"), "{error}");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("0.27", "0.37")).unwrap();
    let error = RunSummary::load(&path).unwrap_err().to_string();
    assert!(error.contains("run.json: it is damaged or was edited"), "{error}");
    fs::write(&path, text).unwrap();

    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for key in [
        "name",
        "status",
        "last_round",
        "best_round",
        "accuracy",
        "bytes_up",
        "bytes_down",
        "seconds",
        "peak_memory_bytes",
        "trainable_parameters",
        "total_parameters",
        "seed",
        "device",
        "versions",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    for key in ["method", "data", "rounds", "best_saved"] {
        let mut old = json.clone();
        old.as_object_mut().unwrap().remove(key).unwrap();
        fs::write(&path, old.to_string()).unwrap();
        assert_eq!(RunSummary::load(&path).unwrap(), summary, "a file from before `{key}`");
    }
    assert_eq!(json["status"], "finished");
    assert_eq!(json["accuracy"]["last"]["mean"], 0.27);
    assert!(json["accuracy"]["best"].is_null());
    for phase in ["data", "training", "aggregation", "evaluation", "total"] {
        assert!(json["seconds"][phase].is_number(), "{phase}");
    }

    fs::write(&path, "{").unwrap();
    let error = RunSummary::load(&path).unwrap_err().to_string();
    assert!(error.contains("run.json: EOF"), "{error}");
}

#[test]
fn an_earlier_run_is_replaced_only_if_allowed() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let folder = RunFolder::create(path, Existing::Refuse, "seed = 1\n").unwrap();
    folder.record(&events()[2]).unwrap();
    folder.write_partition("{}").unwrap();
    for name in ["adapter", "model", "best", "rounds", "clients", "state", "tensorboard"] {
        fs::create_dir(path.join(name)).unwrap();
        fs::write(path.join(name).join("x"), "x").unwrap();
    }
    // The last three are about the run that goes, and would be taken for those of the next one.
    for name in [
        "run.json",
        "trained.safetensors",
        "predictions.csv",
        "predictions-before.csv",
        "report.html",
    ] {
        fs::write(path.join(name), "x").unwrap();
    }
    drop(folder);
    fs::write(path.join("notes.txt"), "mine").unwrap();

    let error = RunFolder::create(path, Existing::Refuse, "seed = 2\n").unwrap_err();
    assert!(matches!(error, ReportError::HoldsRun { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert_eq!(fs::read_to_string(path.join("experiment.toml")).unwrap(), "seed = 1\n");

    RunFolder::create(path, Existing::ReplaceRun, "seed = 2\n").unwrap();
    assert_eq!(files(path), ["experiment.toml", "metrics.jsonl", "notes.txt", "run.lock"]);
    assert_eq!(fs::read_to_string(path.join("experiment.toml")).unwrap(), "seed = 2\n");
    assert!(read_events(path.join("metrics.jsonl")).unwrap().is_empty());
}

#[test]
fn other_folders_and_files_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    // An experiment beside other things is no run.
    fs::write(path.join("experiment.toml"), "mine").unwrap();
    for existing in [Existing::Refuse, Existing::ReplaceRun] {
        let error = RunFolder::create(path, existing, "").unwrap_err();
        assert!(matches!(error, ReportError::NotEmpty { .. }), "{error}");
        assert_eq!(files(path), ["experiment.toml"]);
    }
    let file = path.join("experiment.toml");
    let error = RunFolder::create(&file, Existing::ReplaceRun, "").unwrap_err();
    assert!(matches!(error, ReportError::NotAFolder { .. }), "{error}");
    let error = RunFolder::create(file.join("below"), Existing::Refuse, "").unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
}

#[test]
fn files_stay_within_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let folder = RunFolder::create(&path, Existing::Refuse, "").unwrap();
    for name in ["../outside", "a/b", "/etc/outside", "..", ""] {
        let error = folder.write_text(name, "x").unwrap_err();
        assert!(matches!(error, ReportError::Name { .. }), "{name}: {error}");
    }
    assert_eq!(files(parent.path()), ["run"]);
    folder.write_text("classes.txt", "x").unwrap();
}
