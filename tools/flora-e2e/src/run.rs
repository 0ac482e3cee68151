//! The folder of a run.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A run: its folder, and what its files say.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    summary: Value,
    events: Vec<Value>,
}

impl Run {
    /// Reads `run.json` and `metrics.jsonl`.
    ///
    /// # Panics
    ///
    /// If one is missing or not JSON.
    #[track_caller]
    pub fn open(folder: &Path) -> Self {
        let summary = json(&folder.join("run.json"), &read(&folder.join("run.json")));
        let events = Self::events_so_far(folder);
        Self { folder: folder.to_owned(), summary, events }
    }

    /// The events of a run that may not be over: a half-written last line is left out, and a folder without the file
    /// has none.
    ///
    /// # Panics
    ///
    /// If a whole line is not JSON.
    #[track_caller]
    pub fn events_so_far(folder: &Path) -> Vec<Value> {
        let path = folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| json(&path, line.as_bytes())).collect()
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The contents of `run.json`.
    pub fn summary(&self) -> &Value {
        &self.summary
    }

    /// A number of `run.json`.
    ///
    /// # Panics
    ///
    /// If there is no such number.
    #[track_caller]
    pub fn number(&self, field: &str) -> f64 {
        let number = self.summary[field].as_f64();
        number.unwrap_or_else(|| panic!("{}: {field} is no number", self.named("run.json")))
    }

    /// The events of this name.
    pub fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    /// The number of rounds, by `run.json`.
    ///
    /// # Panics
    ///
    /// If it does not say so.
    #[track_caller]
    pub fn last_round(&self) -> u64 {
        let round = self.summary["last_round"].as_u64();
        round.unwrap_or_else(|| panic!("{}: no last_round", self.named("run.json")))
    }

    /// The global model's accuracy after this round, as a share of the test images: the mean over the clients.
    ///
    /// # Panics
    ///
    /// If `metrics.jsonl` has no or more than one evaluation of it.
    #[track_caller]
    pub fn accuracy(&self, round: u64) -> f64 {
        let evaluated =
            self.events("evaluated").filter(|it| it["round"] == round && it["model"] == "global");
        let found: Vec<_> = evaluated.map(|event| event["accuracy"].as_f64()).collect();
        match found[..] {
            [Some(accuracy)] => accuracy,
            _ => panic!("{}: accuracies of round {round}: {found:?}", self.named("metrics.jsonl")),
        }
    }

    /// Asserts that the folder holds a whole run of so many rounds: every file, and an evaluation of every round.
    ///
    /// # Panics
    ///
    /// If anything is missing.
    #[track_caller]
    pub fn assert_finished(&self, rounds: u64) {
        for file in [
            "experiment.toml",
            "partition.json",
            "metrics.jsonl",
            "run.json",
            "adapter/adapter_model.safetensors",
            "adapter/adapter_config.json",
        ] {
            assert!(!self.file(file).is_empty(), "{} is empty", self.named(file));
        }
        assert_eq!(self.summary["status"], "finished", "{}", self.named("run.json"));
        assert_eq!(self.last_round(), rounds, "{}", self.named("run.json"));
        for round in 0..=rounds {
            self.accuracy(round);
        }
    }

    /// The number of clients, by `partition.json`.
    ///
    /// # Panics
    ///
    /// If the file has no list of clients with names.
    #[track_caller]
    pub fn num_clients(&self) -> usize {
        let partition = json(&self.folder.join("partition.json"), &self.file("partition.json"));
        let clients = partition["clients"].as_array().expect("partition.json: a list of clients");
        assert!(clients.iter().all(|client| client["id"].is_string()), "partition.json: names");
        clients.len()
    }

    /// The adapter's weights, byte by byte.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[track_caller]
    pub fn adapter(&self) -> Vec<u8> {
        self.file("adapter/adapter_model.safetensors")
    }

    /// `metrics.jsonl` without the durations, which differ between runs of equal bits.
    ///
    /// # Panics
    ///
    /// If the file is not text.
    #[track_caller]
    pub fn timeless_metrics(&self) -> String {
        let metrics = String::from_utf8(self.file("metrics.jsonl")).expect("metrics.jsonl: text");
        timeless(&metrics)
    }

    /// The bytes of a file in the folder.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[track_caller]
    pub fn file(&self, name: &str) -> Vec<u8> {
        read(&self.folder.join(name))
    }

    fn named(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }
}

fn timeless(metrics: &str) -> String {
    const SECONDS: &str = "\"seconds\":";
    let mut parts = metrics.split(SECONDS);
    let mut timeless = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        timeless.push_str(SECONDS);
        timeless.push_str(part.trim_start_matches(|it: char| "0123456789.e-".contains(it)));
    }
    timeless
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path, text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"{"event":"evaluated","round":0,"model":"global","accuracy":0.25,"seconds":1.5e-3}
{"event":"evaluated","round":0,"model":"local","accuracy":0.75,"seconds":2}
{"event":"evaluated","round":1,"model":"global","accuracy":0.5}
{"event":"evaluated","round":1,"model":"global","accuracy":0.5}
{"event":"aggr"#;

    fn run(folder: &Path) -> Run {
        std::fs::write(folder.join("metrics.jsonl"), METRICS).unwrap();
        std::fs::write(folder.join("run.json"), r#"{"status":"finished","last_round":1}"#).unwrap();
        Run::open(folder)
    }

    #[test]
    fn the_global_model_counts() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path());
        assert_eq!((run.accuracy(0), run.last_round()), (0.25, 1));
        assert_eq!(run.events("evaluated").count(), 4, "the last line is half-written");
    }

    #[test]
    #[should_panic(expected = "accuracies of round 1")]
    fn a_round_is_evaluated_once() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path()).accuracy(1);
    }

    #[test]
    #[should_panic(expected = "accuracies of round 2")]
    fn a_missing_evaluation_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path()).accuracy(2);
    }

    #[test]
    #[should_panic(expected = "experiment.toml")]
    fn a_finished_run_has_every_file() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path()).assert_finished(1);
    }

    #[test]
    fn only_durations_are_left_out() {
        let one = timeless(r#"{"round":1,"seconds":1.5e-3,"loss":2.0}{"seconds":7}"#);
        assert_eq!(one, r#"{"round":1,"seconds":,"loss":2.0}{"seconds":}"#);
    }
}
