//! Trained parameters of a run are read back, and give the run's own numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_federation::{Event, Outcome, RoundScore};
use flora_inference::Classifier;
use flora_tuning::{Experiment, Observer, TrainedModel, load_trained, prepare, save_trained};

use crate::common::{Images, rows, save};
use crate::methods::{TRAINED, named};

#[derive(Default)]
struct Keeper(BTreeMap<String, ParameterRecord>);

impl Observer for Keeper {
    fn event(&mut self, _event: &Event) {}

    fn keep_client(&mut self, client: &str, parameters: &ParameterRecord) -> Result<(), String> {
        self.0.insert(client.to_owned(), parameters.clone());
        Ok(())
    }
}

fn of_client(folder: &Path, client: &str) -> PathBuf {
    folder.join("clients").join(client)
}

/// A run that saves everything in `folder`.
fn run(experiment: &Experiment, folder: &Path) -> Outcome {
    let device = Device::flex();
    let mut keeper = Keeper::default();
    let prepared = prepare(experiment.clone(), &device, &mut keeper).unwrap();
    let provenance = prepared.provenance();
    let outcome = prepared.run(&mut keeper).outcome.unwrap();
    save_trained(experiment, &provenance, &outcome.last, folder, &device).unwrap();
    for (client, record) in keeper.0 {
        save_trained(experiment, &provenance, &record, &of_client(folder, &client), &device)
            .unwrap();
    }
    outcome
}

#[test]
fn predictions_have_the_accuracy_of_the_last_round_to_the_last_digit() {
    let images = Images::new(3, 4);
    let halves = "partition={ kind = 'base-to-novel', of = { kind = 'iid', clients = 2 } }";
    let names = TRAINED.map(named);
    let mut settings: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    settings.extend([
        vec!["method.name=zero-shot"],
        vec!["training.rounds=0"],
        vec![halves],
        vec!["federation.participants=central"],
        vec!["method.implementation=naive"],
        vec!["method.lora.towers=both"],
    ]);
    for name in &names {
        settings.push(vec![name, "federation.participants=alone", "output.keep_clients=true"]);
    }
    for strategy in [
        "federation.strategy=fedsa",
        "federation.strategy=fedex",
        "federation.strategy=fed-sb",
        "federation.strategy=stacking",
        "federation.strategy={ kind = 'flexlora', ranks = [2, 1, 2] }",
        "federation.strategy={ kind = 'hetlora', ranks = [2, 1, 1] }",
    ] {
        settings.push(vec![strategy, "output.keep_clients=true", "training.learning_rate=0.01"]);
    }
    for set in settings {
        let folder = tempfile::tempdir().unwrap();
        let experiment = images.experiment(&set);
        let outcome = run(&experiment, folder.path());
        let device = Device::flex();
        let prepared = prepare(experiment, &device, &mut Keeper::default()).unwrap();
        let of_client = |client: &str| of_client(folder.path(), client);
        let models = prepared.client_models(folder.path(), &of_client, &device).unwrap();
        let predictions = prepared.predict(&models, |client| client.test.clone()).unwrap();
        let scores: Vec<_> = predictions.iter().map(|it| it.score.clone()).collect();
        let mean = RoundScore::mean(0, &scores).unwrap();
        let last = outcome.last_round;
        assert_eq!(
            (mean.accuracy, mean.accuracy_weighted, mean.num_clients),
            (last.accuracy, last.accuracy_weighted, last.num_clients),
            "{set:?}"
        );
        let width = prepared.dataset.classes().len();
        assert!(predictions.iter().all(|it| it.logits.len() == it.images.len() * width));
    }
}

#[test]
fn a_classifier_says_what_the_clients_say() {
    let images = Images::new(3, 4);
    for name in TRAINED {
        let folder = tempfile::tempdir().unwrap();
        let experiment = images.experiment(&[&named(name)]);
        run(&experiment, folder.path());
        let device = Device::flex();
        let trained = TrainedModel::open(&experiment, folder.path(), &device).unwrap().unwrap();
        let classifier = trained.classifier(&trained.provenance.classes).unwrap();

        let prepared = prepare(experiment.clone(), &device, &mut Keeper::default()).unwrap();
        let of_client = |client: &str| of_client(folder.path(), client);
        let models = prepared.client_models(folder.path(), &of_client, &device).unwrap();
        let predictions = prepared.predict(&models, |client| client.test.clone()).unwrap();
        let dataset = &prepared.dataset;
        for client in predictions {
            let pictures: Vec<_> =
                client.images.iter().map(|&image| dataset.image(image).unwrap()).collect();
            let features = rows(&trained, &pictures);
            let logits = classifier.logits(features).into_data().try_into_vec::<f32>().unwrap();
            for (logit, expected) in logits.iter().zip(&client.logits) {
                assert!((logit - expected).abs() < 1e-3, "{name}: {logit} {expected}");
            }
        }

        // Untrained class names work for methods that compare with texts, and no others.
        let others = ["lion".to_owned(), "tent".to_owned()];
        match trained.classifier(&others) {
            Ok(classifier) => {
                let some = rows(&trained, &[dataset.image(0).unwrap()]);
                assert_eq!(classifier.logits(some).dims(), [1, 2], "{name}");
            }
            Err(error) => {
                assert!(name.contains("lc"), "{name}: {error}");
                assert!(error.to_string().contains("own 4 classes"), "{error}");
            }
        }
    }
}

#[test]
fn own_models_that_were_not_kept_are_told() {
    let images = Images::new(2, 2);
    let experiment = images.experiment(&["federation.participants=alone"]);
    let folder = tempfile::tempdir().unwrap();
    run(&experiment, folder.path());
    let device = Device::flex();
    assert!(TrainedModel::open(&experiment, folder.path(), &device).unwrap().is_none());
    let prepared = prepare(experiment, &device, &mut Keeper::default()).unwrap();
    let of_client = |client: &str| of_client(folder.path(), client);
    let error = prepared.client_models(folder.path(), &of_client, &device).unwrap_err().to_string();
    assert!(error.contains("alpha") && error.contains("output.keep_clients"), "{error}");
}

/// The right value or an error, but never another value.
#[test]
fn a_flipped_bit_in_any_file_is_an_error() {
    let images = Images::new(2, 2);
    let device = Device::flex();
    for name in TRAINED {
        let folder = tempfile::tempdir().unwrap();
        let experiment = images.experiment(&[&named(name), "training.rounds=1"]);
        let outcome = crate::common::outcome(experiment.clone());
        save(&experiment, &outcome.last, folder.path()).unwrap();
        let load = || load_trained(&experiment, folder.path(), &device).map(Option::unwrap);
        let whole = load().unwrap();
        for file in files(folder.path()) {
            let bytes = std::fs::read(&file).unwrap();
            for place in (0..bytes.len()).step_by(bytes.len().div_ceil(23)) {
                for bit in [0, 6] {
                    let mut damaged = bytes.clone();
                    damaged[place] ^= 1 << bit;
                    std::fs::write(&file, damaged).unwrap();
                    if let Ok(loaded) = load() {
                        assert_eq!(
                            loaded.record,
                            whole.record,
                            "{name} {} {place}",
                            file.display()
                        );
                        let (a, b) = (loaded.provenance, &whole.provenance);
                        assert_eq!((&a.classes, &a.template), (&b.classes, &b.template));
                    }
                }
            }
            std::fs::write(&file, bytes).unwrap();
        }
        assert_eq!(load().unwrap().record, whole.record);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn another_base_or_method_is_told() {
    let images = Images::new(2, 2);
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let experiment = images.experiment(&["method.name=fedlc"]);
    run(&experiment, folder.path());
    let other = images.experiment(&["method.name=fedaa"]);
    let error = TrainedModel::open(&other, folder.path(), &device).unwrap_err().to_string();
    assert!(error.contains("trained by fedlc"), "{error}");

    let base = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(crate::common::tiny_clip()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), base.path().join(entry.file_name())).unwrap();
    }
    let weights = base.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(weights, bytes).unwrap();
    let path = format!("model.path={}", base.path().display());
    let moved = images.experiment(&["method.name=fedlc", &path]);
    let error = TrainedModel::open(&moved, folder.path(), &device).unwrap_err().to_string();
    assert!(error.contains("put the original back"), "{error}");
}
