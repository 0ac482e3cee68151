//! Lists and comparisons of runs in all states, damaged ones included.

use std::{fs, path::Path};

use flora_federation::{
    ClientInfo, ClientScore, EPSILON, EvaluatedModel, Event, Metrics, RunStatus,
};
use flora_report::{
    Accuracies, Accuracy, Existing, ReportError, RunFolder, RunRecord, RunState, RunSummary,
    compare, page,
    runs::list,
    tables::{self, Page},
};

fn experiment(rounds: usize, rate: f64) -> String {
    format!(
        "name = \"x\"\ndata.path = \"datasets/emoji-vendors/emoji-vendors.toml\"\n\
         [method]\nname = \"flora\"\n[training]\nrounds = {rounds}\nlearning_rate = {rate}\n\
         [partition]\nkind = \"natural\"\n"
    )
}

fn started(rounds: usize) -> Event {
    let client = |id: &str| ClientInfo { id: id.to_owned(), num_examples: 9, num_test_examples: 4 };
    Event::RunStarted {
        name: "x".to_owned(),
        method: "flora".to_owned(),
        clients: ["a", "b"].map(client).into(),
        rounds,
        trainable_parameters: 8,
        total_parameters: 80,
        bytes_per_client: 32,
        seed: 3,
    }
}

fn evaluated(round: usize, model: EvaluatedModel, accuracy: f64) -> Event {
    let client = |id: &str| ClientScore {
        client: id.to_owned(),
        accuracy,
        loss: Some(1.0),
        num_examples: 4,
    };
    Event::Evaluated {
        round,
        model,
        accuracy,
        accuracy_weighted: accuracy,
        loss: Some(1.0),
        clients: ["a", "b"].map(client).into(),
        seconds: 0.5,
    }
}

fn aggregated(round: usize) -> Event {
    Event::Aggregated {
        round,
        strategy: "fedavg".to_owned(),
        replies: 2,
        bytes_up: 64,
        bytes_down: 64,
        seconds: 0.1,
        metrics: Metrics::from([("loss".to_owned(), f64::NAN)]),
    }
}

/// A run with these accuracies, and no summary.
fn write(path: &Path, rounds: usize, rate: f64, accuracies: &[f64]) -> RunFolder {
    let folder = RunFolder::create(path, Existing::Refuse, &experiment(rounds, rate)).unwrap();
    folder.record(&Event::Warning { message: "told before the run begins".to_owned() }).unwrap();
    folder.record(&started(rounds)).unwrap();
    for (round, &accuracy) in accuracies.iter().enumerate() {
        if round > 0 {
            folder.record(&evaluated(round, EvaluatedModel::Local, 0.99)).unwrap();
            folder.record(&aggregated(round - 1)).unwrap();
        }
        folder.record(&evaluated(round, EvaluatedModel::Global, accuracy)).unwrap();
    }
    folder
}

fn summary(status: RunStatus, started_at: u64) -> RunSummary {
    let accuracy = |mean| Some(Accuracy { mean, weighted: mean, num_clients: 2 });
    let mut summary = RunSummary::new("x", status, None);
    (summary.last_round, summary.best_round) = (Some(2), Some(1));
    summary.accuracy =
        Accuracies { zero_shot: accuracy(0.1), last: accuracy(0.2), best: accuracy(0.3) };
    summary.seconds.total = 12.5;
    summary.started_at = Some(started_at);
    summary
}

fn row<'a>(runs: &'a [RunRecord], name: &str) -> &'a RunRecord {
    runs.iter().find(|run| run.path.ends_with(name)).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn every_state_is_told_and_nothing_stops_the_list() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    let running = write(&path("running"), 5, 1e-3, &[0.1, 0.2]);
    let mut whole = summary(RunStatus::Finished, 2_000_000_000);
    (whole.method, whole.data, whole.rounds) =
        (Some("fedlc".to_owned()), Some("pets".to_owned()), Some(2));
    write(&path("finished"), 2, 1e-3, &[0.1]).write_summary(&whole).unwrap();
    // A summary of an older version names neither method, nor data, nor rounds.
    write(&path("sweeps/deep/older"), 2, 1e-3, &[0.1])
        .write_summary(&summary(RunStatus::Finished, 1_000_000_000))
        .unwrap();
    drop(write(&path("killed"), 5, 1e-3, &[0.1, 0.3, 0.2]));
    let mut torn = fs::read(path("killed/metrics.jsonl")).unwrap();
    // A kind of event of a later version, and a last line that was being written.
    torn.extend(b"{\"event\":\"news\",\"round\":[],\"clients\":7}\n{\"event\":\"evalu");
    fs::write(path("killed/metrics.jsonl"), torn).unwrap();
    write(&path("stopped"), 5, 1e-3, &[0.1])
        .write_summary(&summary(RunStatus::Interrupted, 1_500_000_000))
        .unwrap();
    fs::create_dir(path("stopped/state")).unwrap();
    let failed = write(&path("failed"), 5, 1e-3, &[0.1]);
    let end = Event::RunFinished {
        status: RunStatus::Failed,
        message: Some("no client trained".to_owned()),
        last_round: None,
        best_round: None,
        bytes_up: 0,
        bytes_down: 0,
        seconds: 2.5,
    };
    failed.record(&end).unwrap();
    drop(failed);

    // Not runs.
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("results.csv"), "").unwrap();
    fs::create_dir_all(path("finished/rounds/inner")).unwrap();

    let runs = list(&[parent.path().to_owned()]).unwrap();
    assert_eq!(runs.len(), 6);
    assert!(runs[0].path.ends_with("finished"), "the newest first");
    assert!(runs[5].path.ends_with("older"));

    let run = row(&runs, "running");
    assert_eq!((run.state, run.resumable), (RunState::Running, false));
    assert_eq!((run.last_round, run.rounds, run.bytes_up), (Some(1), Some(5), 64));
    assert!(run.started_at.is_some());
    let run = row(&runs, "finished");
    assert_eq!((run.state, run.seconds), (RunState::Finished, Some(12.5)));
    assert_eq!((run.method.as_deref(), run.data.as_deref()), (Some("fedlc"), Some("pets")));
    let run = row(&runs, "older");
    assert_eq!((run.state, run.rounds), (RunState::Finished, Some(2)));
    assert_eq!(
        (run.method.as_deref(), run.data.as_deref()),
        (Some("flora"), Some("emoji-vendors"))
    );
    let run = row(&runs, "killed");
    assert_eq!((run.state, run.resumable), (RunState::Interrupted, false));
    assert_eq!((run.last_round, run.best_round), (Some(2), Some(1)));
    assert_eq!(run.accuracy.best.unwrap().num_clients, 2);
    assert!(run.warning.as_ref().unwrap().contains("below the best (30.0 % after round 1)"));
    let run = row(&runs, "stopped");
    assert_eq!((run.state, run.resumable), (RunState::Interrupted, true));
    let run = row(&runs, "failed");
    assert_eq!((run.state, run.error.as_deref()), (RunState::Failed, Some("no client trained")));
    assert_eq!(run.seconds, Some(2.5));

    let table = tables::runs(&runs, Page::Plain);
    assert!(table.contains("interrupted, resumable"), "{table}");
    assert!(table.contains("failed: no client trained"), "{table}");
    assert!(table.contains("2033-05-18 03:33"), "{table}");
    drop(running);
    let runs = list(&[path("running"), parent.path().to_owned()]).unwrap();
    assert_eq!(runs.len(), 6, "a folder that is named twice is listed once");
    assert_eq!(row(&runs, "running").state, RunState::Interrupted);

    let error = list(&[path("nowhere")]).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn damaged_files_are_rows() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    for name in ["summary", "summary-cut", "events", "events-binary", "experiment", "all"] {
        let whole = summary(RunStatus::Finished, 1_000_000_000);
        let folder = write(&path(name), 5, 1e-3, &[0.1, 0.2]);
        if name.starts_with("summary") || name == "experiment" {
            folder.write_summary(&whole).unwrap();
        }
    }
    fs::write(path("summary/run.json"), "[]").unwrap();
    let text = fs::read(path("summary-cut/run.json")).unwrap();
    fs::write(path("summary-cut/run.json"), &text[..text.len() / 2]).unwrap();
    let text = fs::read_to_string(path("events/metrics.jsonl")).unwrap();
    let broken = text.replacen("\"event\":\"aggregated\"", "\"event\":aggregated", 1);
    fs::write(path("events/metrics.jsonl"), broken).unwrap();
    fs::write(path("events-binary/metrics.jsonl"), [0, 255, b'\n', 0, 0]).unwrap();
    fs::write(path("experiment/experiment.toml"), "name = \n").unwrap();
    for file in ["run.json", "metrics.jsonl", "experiment.toml"] {
        fs::write(path("all").join(file), [255; 64]).unwrap();
    }
    fs::write(path("all/metrics.jsonl"), "x\n").unwrap();

    let runs = list(&[parent.path().to_owned()]).unwrap();
    assert_eq!(runs.len(), 6);
    for (name, problem) in [
        ("summary", "run.json: invalid length"),
        ("summary-cut", "run.json: EOF"),
        ("events", "metrics.jsonl, line 5: "),
        ("events-binary", "metrics.jsonl, line 1: "),
        ("experiment", "experiment.toml: "),
        ("all", "metrics.jsonl, line 1: "),
    ] {
        let run = row(&runs, name);
        assert_eq!(run.state, RunState::Unreadable, "{name}");
        let told = run.problem.as_ref().unwrap();
        assert!(told.contains(problem) && !told.contains('\n'), "{name}: {told}");
    }
    // What can be read is there.
    assert_eq!(row(&runs, "summary").accuracy.last.unwrap().mean, 0.2);
    assert_eq!(row(&runs, "events").last_round, Some(0));
    assert_eq!(row(&runs, "experiment").seconds, Some(12.5));
    let table = tables::runs(&runs, Page::Terminal(80));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    let folders = [path("experiment"), path("events"), path("summary")];
    let comparison = compare(&folders).unwrap();
    assert!(comparison.settings.is_empty(), "{:?}", comparison.settings);
    assert!(tables::comparison(&comparison, Page::Plain).contains("unreadable"));
}

#[test]
fn what_a_run_spent_is_in_the_list() {
    let parent = tempfile::tempdir().unwrap();
    let killed = write(&parent.path().join("killed"), 3, 1e-3, &[0.1, 0.2]);
    for (round, epsilon) in [(1, 0.25), (2, 0.5)] {
        let Event::Aggregated { strategy, replies, bytes_up, bytes_down, seconds, .. } =
            aggregated(round)
        else {
            unreachable!("it is one")
        };
        let metrics = Metrics::from([(EPSILON.to_owned(), epsilon)]);
        let told =
            Event::Aggregated { round, strategy, replies, bytes_up, bytes_down, seconds, metrics };
        killed.record(&told).unwrap();
    }
    drop(killed);
    let plain = write(&parent.path().join("plain"), 3, 1e-3, &[0.1]);
    drop(plain);
    let runs = list(&[parent.path().to_owned()]).unwrap();
    assert_eq!(row(&runs, "killed").epsilon, Some(0.5));
    assert_eq!(row(&runs, "plain").epsilon, None);
    let text = tables::runs(&runs, Page::Plain);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(cells(text.lines().next().unwrap()).contains(&"epsilon".to_owned()), "{text}");
    assert!(text.lines().any(|line| cells(line).contains(&"0.5000".to_owned())), "{text}");
    let without: Vec<_> = runs.into_iter().filter(|run| run.epsilon.is_none()).collect();
    assert!(!tables::runs(&without, Page::Plain).contains("epsilon"));
}

#[test]
fn runs_stand_side_by_side() {
    let parent = tempfile::tempdir().unwrap();
    let (a, b) = (parent.path().join("a"), parent.path().join("b"));
    drop(write(&a, 2, 1e-3, &[0.1, 0.2, 0.3]));
    let folder = write(&b, 2, 5e-4, &[0.1, 0.4]);
    let mut whole = summary(RunStatus::Finished, 1_000_000_000);
    whole.peak_memory_bytes = Some(97 << 20);
    whole.bytes_up = 4096;
    whole.epsilon = Some(2.500_01);
    fs::write(b.join("experiment.toml"), experiment(2, 5e-4) + "extra = [1, 2]\n").unwrap();
    folder.write_summary(&whole).unwrap();
    drop(folder);

    let comparison = compare(&[a.clone(), b]).unwrap();
    let keys: Vec<&str> = comparison.settings.iter().map(|setting| &*setting.key).collect();
    assert_eq!(keys, ["partition.extra", "training.learning_rate"]);
    assert_eq!(comparison.settings[0].values[0], None);
    let rounds: Vec<_> =
        comparison.rounds.iter().map(|round| (round.round, &round.accuracy[..])).collect();
    assert_eq!(
        rounds,
        [(0, &[Some(0.1), Some(0.1)][..]), (1, &[Some(0.2), Some(0.4)]), (2, &[Some(0.3), None])]
    );
    let parent = parent.path().display().to_string();
    let text = tables::comparison(&comparison, Page::Plain).replace(&format!("{parent}/"), "");
    let cells: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        &["partition.extra", "-", "[1,", "2]"][..],
        &["training.learning_rate", "0.001", "0.0005"],
        &["state", "interrupted", "finished"],
        &["initial", "%", "10.0", "10.0"],
        &["last", "%", "30.0", "(round", "2)", "20.0", "(round", "2)"],
        &["best", "%", "30.0", "(round", "2)", "30.0", "(round", "1)"],
        &["sent", "up", "128", "B", "4.00", "KiB"],
        &["time", "-", "12.5", "s"],
        &["peak", "memory", "-", "97.0", "MiB"],
        // Rounded up.
        &["epsilon", "-", "2.5001"],
        &["1", "20.0", "40.0"],
        &["2", "30.0", "-"],
    ] {
        assert!(cells.iter().any(|cells| cells == line), "{line:?}\n{text}");
    }
    let narrow = tables::comparison(&comparison, Page::Terminal(80));
    let tables = narrow.split("\nb: the last").next().unwrap();
    assert!(tables.contains('─') && !text.contains('─'), "{text}");
    assert!(text.ends_with("b: the last round (20.0 %) is below the best (30.0 % after round 1)"));

    let error = compare(&[a, Path::new("nowhere").to_owned()]).unwrap_err();
    assert!(matches!(error, ReportError::NotARun { .. }), "{error}");
}

/// A run of an earlier version has the same settings under their earlier names.
#[test]
fn renamed_settings_are_compared_by_their_current_names() {
    let parent = tempfile::tempdir().unwrap();
    let write = |name: &str, method: &str| {
        let path = parent.path().join(name);
        let experiment = format!("name = \"x\"\n[method]\n{method}");
        drop(RunFolder::create(&path, Existing::Refuse, &experiment).unwrap());
        path
    };
    let new = write("new", "implementation = \"naive\"\nlora.lora_dropout = 0.5\n");
    let old = write("old", "path = \"naive\"\nlora.dropout = 0.5\n");
    let other = write("other", "path = \"naive\"\nlora.dropout = 0.25\n");
    assert_eq!(compare(&[old.clone(), new.clone()]).unwrap().settings, []);
    let html = page::render(&[old, new.clone()]).unwrap();
    assert!(html.contains("The runs have the same settings."));
    let settings = compare(&[other, new]).unwrap().settings;
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!(settings[0].key, "method.lora.lora_dropout");
    let values = [0.25, 0.5].map(|it| Some(toml::Value::Float(it)));
    assert_eq!(settings[0].values, values);
    // The current name counts.
    for (name, method) in [
        ("both", "lora.lora_dropout = 0.5\nlora.dropout = 0.25\n"),
        ("both-turned", "lora.dropout = 0.25\nlora.lora_dropout = 0.5\n"),
    ] {
        let both = write(name, &format!("path = \"naive\"\n{method}"));
        let new = parent.path().join("new");
        assert_eq!(compare(&[both, new]).unwrap().settings, [], "{name}");
    }
}

#[test]
fn numbers_of_a_damaged_file_are_not_compared() {
    let parent = tempfile::tempdir().unwrap();
    let (a, b) = (parent.path().join("a"), parent.path().join("b"));
    for path in [&a, &b] {
        let folder = write(path, 1, 1e-3, &[0.1, 0.2]);
        folder.write_summary(&summary(RunStatus::Finished, 1_000_000_000)).unwrap();
    }
    let file = b.join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("0.2", "0.9")).unwrap();
    let comparison = compare(&[a, b]).unwrap();
    let problem = comparison.runs[1].problem.as_deref().unwrap();
    assert!(problem.contains("metrics.jsonl"), "{problem}");
    for round in comparison.rounds {
        assert!(round.accuracy[0].is_some() && round.accuracy[1].is_none(), "{round:?}");
    }
}
