use std::{collections::BTreeMap, path::Path};

use flora_core::{files, hex, sealed};
use flora_federation::{ClientScore, EvaluatedModel, Outcome, RoundScore, RunStatus};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ClientTally, ReportError, folder::read, units};

/// The summary of a run: the content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The experiment's name.
    pub name: String,
    /// How the run ended.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// The method, as the experiment names it.
    #[serde(default)]
    pub method: Option<String>,
    /// The data set's name.
    #[serde(default)]
    pub data: Option<String>,
    /// Number of planned rounds.
    #[serde(default)]
    pub rounds: Option<usize>,
    /// The last evaluated round; null if not even round 0 was.
    pub last_round: Option<usize>,
    /// The round with the highest unweighted mean accuracy.
    pub best_round: Option<usize>,
    /// The round after which the run ended, before the last that was planned, because no score had improved for
    /// `training.patience` rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<usize>,
    /// Whether `best/` holds the trained parameters of the best round.
    #[serde(default)]
    pub best_saved: bool,
    /// The model of the accuracies below: the global one or, if there is none, the clients' own models.
    #[serde(default = "global")]
    pub model: EvaluatedModel,
    /// The images that all accuracies are measured on: `test`, or `validation` if the experiment holds some out
    /// (`data.validation`).
    #[serde(default = "test", skip_serializing_if = "is_test")]
    pub scored_on: String,
    /// The model's accuracy.
    pub accuracy: Accuracies,
    /// Its accuracy after the last round, by client, in the order of client names.
    #[serde(default)]
    pub clients: Vec<ClientAccuracy>,
    /// The clients' own models after their last training, before averaging, if they were tested.
    #[serde(default)]
    pub local: Option<LocalAccuracy>,
    /// Number of clients that trained at least once.
    #[serde(default)]
    pub trainers: usize,
    /// Clients of a closed-form method whose sums did not arrive or were refused: the result lacks their images or, if
    /// the clients were to leave, still contains them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncounted: Vec<String>,
    /// Whether clients left, so that their sums were subtracted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// Number of replies to training, over all rounds.
    #[serde(default)]
    pub replies: u64,
    /// The relative distance between the product of the averaged LoRA factors and the average of the clients' products,
    /// as the mean over the rounds. `None` if no factors were averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation_error: Option<f64>,
    /// The differential-privacy budget spent; if clients have their own budgets, the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// SHA-256 of the base model's weights.
    #[serde(default)]
    pub base_digest: Option<String>,
    /// SHA-256 of its other inputs, by their names in messages.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// SHA-256 of the folder's other files that flora reads back, by name. Filled in by
    /// [`RunFolder::write_summary`](crate::RunFolder::write_summary).
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Bytes of values that clients sent.
    pub bytes_up: u64,
    /// Bytes of values that were sent to clients for training.
    pub bytes_down: u64,
    /// Wall-clock seconds by phase.
    pub seconds: RunSeconds,
    /// Peak memory, if the system reports it.
    pub peak_memory_bytes: Option<u64>,
    /// Parameters that were trained and sent.
    pub trainable_parameters: usize,
    /// Parameters of the whole model.
    pub total_parameters: usize,
    /// The experiment's seed.
    pub seed: u64,
    /// The seed of its partition, `data.seed`; `None` for images that belong to sites, and in files of older versions.
    #[serde(default)]
    pub data_seed: Option<u64>,
    /// The device, as named by `--device`.
    pub device: String,
    /// Versions that it ran with.
    pub versions: Versions,
    /// The command line.
    pub command: Option<String>,
    /// The start time, in seconds since 1970-01-01 UTC.
    pub started_at: Option<u64>,
}

fn test() -> String {
    "test".to_owned()
}

fn is_test(split: &String) -> bool {
    split == "test"
}

fn global() -> EvaluatedModel {
    EvaluatedModel::Global
}

/// The model's accuracy before training, after the last round and after the best round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// Before any training (round 0).
    pub zero_shot: Option<Accuracy>,
    /// After the last round.
    pub last: Option<Accuracy>,
    /// After the best round, which is chosen by the unweighted mean on these same examples, so it is optimistic.
    pub best: Option<Accuracy>,
}

/// An accuracy over clients, 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Unweighted mean over clients.
    pub mean: f64,
    /// Mean weighted by test examples.
    pub weighted: f64,
    /// Number of tested clients: a client that failed is missing from both means.
    pub num_clients: usize,
}

/// The accuracy of the models of those clients that trained in a round, each on its own client's test
/// examples, 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LocalAccuracy {
    /// Number of training rounds that they have seen, counted as for the global model.
    pub round: usize,
    /// Unweighted mean over these clients.
    pub mean: f64,
    /// Mean weighted by test examples.
    pub weighted: f64,
    /// The worst client.
    pub worst: f64,
    /// Number of clients with test examples that trained in this round.
    pub num_clients: usize,
}

/// The model's accuracy on one client's test examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientAccuracy {
    /// The client.
    pub client: String,
    /// Share of correct predictions, 0..1.
    pub accuracy: f64,
    /// Number of test examples.
    pub num_examples: usize,
    /// Whether it trained in any round.
    pub trained: bool,
}

/// Wall-clock seconds by phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSeconds {
    /// Loading the model and the data, and encoding the images.
    pub data: f64,
    /// Training by clients.
    pub training: f64,
    /// Aggregation by the server.
    pub aggregation: f64,
    /// Tests of the global model by clients.
    pub evaluation: f64,
    /// Saving the state that the run is resumed from.
    #[serde(default)]
    pub saving: f64,
    /// From start to end.
    pub total: f64,
}

/// Versions that a result depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// This project.
    pub flora: String,
    /// The tensor library.
    pub burn: String,
}

impl From<&RoundScore> for Accuracy {
    fn from(score: &RoundScore) -> Self {
        Self {
            mean: score.accuracy,
            weighted: score.accuracy_weighted,
            num_clients: score.num_clients,
        }
    }
}

impl RunSummary {
    /// A summary of a complete or partial outcome. Fields that an [`Outcome`] does not contain (parameters, seed,
    /// device, versions, seconds of data and in total) are zero or empty; the caller fills them in.
    pub fn new(name: impl Into<String>, status: RunStatus, outcome: Option<&Outcome>) -> Self {
        Self {
            name: name.into(),
            status,
            error: None,
            method: None,
            data: None,
            rounds: None,
            last_round: outcome.map(|outcome| outcome.last_round.round),
            best_round: outcome.map(|outcome| outcome.best_round.round),
            stopped_early: outcome
                .filter(|outcome| outcome.stopped_early)
                .map(|outcome| outcome.last_round.round),
            best_saved: false,
            model: EvaluatedModel::Global,
            scored_on: test(),
            accuracy: Accuracies {
                zero_shot: outcome.map(|outcome| (&outcome.initial).into()),
                last: outcome.map(|outcome| (&outcome.last_round).into()),
                best: outcome.map(|outcome| (&outcome.best_round).into()),
            },
            clients: Vec::new(),
            local: None,
            trainers: 0,
            uncounted: Vec::new(),
            leaving: false,
            replies: 0,
            aggregation_error: None,
            epsilon: None,
            base_digest: None,
            inputs: BTreeMap::new(),
            files: BTreeMap::new(),
            bytes_up: outcome.map_or(0, |outcome| outcome.bytes_up),
            bytes_down: outcome.map_or(0, |outcome| outcome.bytes_down),
            seconds: outcome.map_or_else(RunSeconds::default, |outcome| RunSeconds {
                training: outcome.seconds.training,
                aggregation: outcome.seconds.aggregation,
                evaluation: outcome.seconds.evaluation,
                saving: outcome.seconds.saving,
                ..RunSeconds::default()
            }),
            peak_memory_bytes: None,
            trainable_parameters: 0,
            total_parameters: 0,
            seed: 0,
            data_seed: None,
            device: String::new(),
            versions: Versions::default(),
            command: None,
            started_at: None,
        }
    }

    /// Fills in the fields about clients from the events: the clients that trained, the accuracy of the global model on
    /// each in the last evaluation, and the accuracy of their own models.
    pub fn tell_clients(&mut self, tally: ClientTally) {
        let ClientTally { trainers, replies, model, last, local, aggregation, epsilon } = tally;
        self.epsilon = epsilon;
        self.model = model.unwrap_or(self.model);
        (self.trainers, self.replies, self.local) = (trainers.len(), replies, local);
        let (sum, rounds) = aggregation;
        self.aggregation_error = (rounds > 0).then(|| sum / rounds as f64);
        let accuracy = |score: ClientScore| ClientAccuracy {
            trained: trainers.contains(&score.client),
            client: score.client,
            accuracy: score.accuracy,
            num_examples: score.num_examples,
        };
        self.clients = last.into_iter().map(accuracy).collect();
        self.clients.sort_by(|a, b| a.client.cmp(&b.client));
    }

    /// A warning about the last round, if it is worse than round 0 or than the best round. Only differences that a
    /// table shows count, and only means over the same number of clients are compared.
    pub fn verdict(&self) -> Option<String> {
        if self.leaving {
            // Results that were learned from images depend on them.
            return None;
        }
        let Accuracies { zero_shot, last, best } = self.accuracy;
        let last = last?;
        let shown = |accuracy: Accuracy| units::percent(accuracy.mean);
        let above = |other: &Accuracy| {
            other.num_clients == last.num_clients
                && other.mean > last.mean
                && shown(*other) != shown(last)
        };
        let start = zero_shot.filter(above);
        // The best round may be round 0 itself.
        let best = best.filter(above).zip(self.best_round.filter(|&round| round > 0));
        let kept = if self.best_saved { "; best/ holds the parameters of that round" } else { "" };
        let last = format!("the last round ({} %)", shown(last));
        match (start, best) {
            (None, None) => None,
            (None, Some((best, round))) => Some(format!(
                "{last} is below the best ({} % after round {round}){kept}",
                shown(best)
            )),
            (Some(start), None) => {
                Some(format!("{last} is below round 0 ({} %): {}", shown(start), self.advice()))
            }
            (Some(start), Some((best, round))) => Some(format!(
                "{last} is below round 0 ({} %): training for so long has not helped; the best was {} % after \
                 round {round}{kept}",
                shown(start),
                shown(best)
            )),
        }
    }

    /// Suggestions for a run that ended below its initial accuracy.
    fn advice(&self) -> &'static str {
        match self.method.as_deref() {
            Some("ridge" | "lda" | "gda" | "ncm") => {
                "the classifier has not helped; try a smaller method.closed_form.weight"
            }
            _ => "training has not helped; try a smaller learning rate",
        }
    }

    /// Reads a `run.json`.
    ///
    /// # Errors
    /// [`ReportError::Io`] and [`ReportError::Json`] name the file, and [`ReportError::Damaged`] one that does not match
    /// its own checksum.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ReportError> {
        let path = path.as_ref();
        let text = read::text(path).map_err(ReportError::io("read", path))?;
        let damaged = |problem| ReportError::Damaged { path: path.to_owned(), problem };
        sealed::check(&text).map_err(damaged)?;
        serde_json::from_str(&text).map_err(|source| ReportError::Json {
            path: path.to_owned(),
            line: None,
            source,
        })
    }

    /// Checks that the file `name` in the run's folder has not changed since this summary was written. Files without a
    /// checksum in [`files`](Self::files) are not checked.
    ///
    /// # Errors
    /// [`ReportError::Io`] and [`ReportError::Damaged`] name the file.
    pub fn check_file(&self, folder: &Path, name: &str) -> Result<(), ReportError> {
        let Some(told) = self.files.get(name) else { return Ok(()) };
        let path = folder.join(name);
        if !path.exists() {
            let problem = "it existed when the run ended and is now missing; put it back";
            return Err(ReportError::Damaged { path, problem: problem.to_owned() });
        }
        if digest(&path)? == *told {
            return Ok(());
        }
        let problem = "it is damaged or was edited since the run ended: its SHA-256 is not the one in run.json; put \
                       the original back";
        Err(ReportError::Damaged { path, problem: problem.to_owned() })
    }
}

/// SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> Result<String, ReportError> {
    let mut hash = Sha256::new();
    let hashed = read::open(path).and_then(|file| files::hash_from(file, &mut hash));
    hashed.map_err(ReportError::io("read", path))?;
    Ok(hex::encode(&hash.finalize()))
}
