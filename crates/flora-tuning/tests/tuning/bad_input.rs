//! Bad input is refused with a message that names the file or the field, and the remedy.

use std::path::PathBuf;

use burn::tensor::Device;
use flora_tuning::{Experiment, prepare};

use crate::common::{Images, Listener, refusal, run, tiny_clip};

fn assert_tells(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// The tiny CLIP, to be damaged.
fn copy_of_model(images: &Images) -> PathBuf {
    let model = images.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(tiny_clip()).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, model.join(file.file_name().unwrap())).unwrap();
    }
    model
}

fn on_model(images: &Images, model: &std::path::Path) -> String {
    refusal(images.experiment(&[&format!("model.path={}", model.display())]))
}

#[test]
fn missing_folders() {
    let images = Images::new(1, 1);
    for field in ["data.path", "data.root", "model.path"] {
        let folder = images.path().join("nowhere").display().to_string();
        let message = refusal(images.experiment(&[&format!("{field}={folder}")]));
        assert_tells(&message, &[field, &folder, "not found", "correct the path"]);
    }
    std::fs::remove_dir_all(images.path().join("images")).unwrap();
    let folder = images.path().join("images").display().to_string();
    assert_tells(&refusal(images.experiment(&[])), &[&folder, "put the images"]);
}

#[test]
fn a_corrupt_image() {
    let images = Images::new(1, 1);
    let picture = images.path().join("images/beta/train/house/0.png");
    let bytes = std::fs::read(&picture).unwrap();
    let (name, naive) = (picture.display().to_string(), ["method.implementation=naive"]);
    let mut told = Listener::default();
    let prepared = prepare(images.experiment(&naive), &Device::flex(), &mut told).unwrap();

    std::fs::write(&picture, &bytes[..bytes.len() / 2]).unwrap();
    for set in [&naive[..], &[]] {
        let message = refusal(images.experiment(set));
        assert_tells(&message, &[&name, "1 of 24 images", "repair, convert or remove these files"]);
    }

    // If it is damaged during the run, the client that has it drops out with the reason.
    let finished = prepared.run(&mut told);
    assert!(finished.failure.is_none() && finished.outcome.is_some());
    assert_eq!(told.failures().len(), 2, "once a round");
    assert_tells(told.failures()[0], &[&name, "replace the file or remove it"]);
}

#[test]
fn a_damaged_model() {
    let images = Images::new(1, 1);
    let model = copy_of_model(&images);
    let weights = model.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let name = weights.display().to_string();
    for length in [bytes.len() - 1, bytes.len() / 2, 9, 0] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        assert_tells(&on_model(&images, &model), &[&name]);
    }
    std::fs::remove_file(&weights).unwrap();
    assert_tells(&on_model(&images, &model), &["no weights", "model.safetensors"]);
    assert!(!images.cache().exists());
}

/// The features of a text are read at the end token that the configuration names.
#[test]
fn a_tokenizer_of_another_model() {
    let images = Images::new(1, 1);
    let model = copy_of_model(&images);
    let path = model.join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["text_config"]["eos_token_id"] = 1000.into();
    std::fs::write(&path, config.to_string()).unwrap();
    assert_tells(&on_model(&images, &model), &["end token 1000"]);
}

#[test]
fn a_class_folder_that_is_not_listed() {
    let images = Images::new(1, 1);
    images.describe(&["cat", "house", "sunflower seeds"]);
    let parts = ["dataset.toml", "wrong class count", "big red truck", "[[classes]]"];
    assert_tells(&refusal(images.experiment(&[])), &parts);
    images.describe(&["cat", "house", "sunflower seeds", "big red truck", "dog"]);
    assert_tells(&refusal(images.experiment(&[])), &["dataset.toml", "wrong class count", "dog"]);
}

#[test]
fn unknown_keys() {
    let images = Images::new(1, 1);
    let text = images.experiment(&[]).to_toml();
    let path = images.path().join("typo.toml");
    std::fs::write(&path, text.replace("batch_size", "batchsize")).unwrap();
    let message = Experiment::from_file(&path, &[]).unwrap_err().to_string();
    assert_tells(&message, &[path.to_str().unwrap(), "batchsize", "did you mean `batch_size`?"]);

    let message = images.try_experiment(&["training.batchsize=3"]).unwrap_err();
    assert_tells(
        &message,
        &["--set training.batchsize=3: ", "batchsize", "did you mean `batch_size`?"],
    );
    for (set, key) in [("method.lora.rank=3", "rank"), ("federate.threads=1", "federate")] {
        assert_tells(&images.try_experiment(&[set]).unwrap_err(), &[key, "unknown field"]);
    }
    let absent = images.path().join("absent.toml");
    let message = Experiment::from_file(&absent, &[]).unwrap_err().to_string();
    assert_tells(&message, &[absent.to_str().unwrap(), "cannot be read"]);
}

#[test]
fn partitions_that_cannot_be() {
    let images = Images::new(1, 1);
    let of = |partition: &str| refusal(images.experiment(&[&format!("partition={partition}")]));
    let message = of("{ kind = 'iid', clients = 13 }");
    assert_tells(&message, &["client-12", "no training image", "lower `clients`"]);
    let message = of("{ kind = 'dirichlet', clients = 4, beta = 0.1, min_samples = 4 }");
    assert_tells(&message, &["partition.min_samples", "16", "lower it to at most 3"]);
    let message =
        of("{ kind = 'dirichlet', clients = 5, beta = 1e-9, min_samples = 2, max_tries = 5, \
         repair = false, capacity_mask = false }");
    assert_tells(&message, &["partition.min_samples", "repair = true"]);

    std::fs::remove_dir_all(images.path().join("images/gamma/train")).unwrap();
    assert_tells(&refusal(images.experiment(&[])), &["gamma", "no training image", "remove"]);
}

#[test]
fn clients_that_are_too_few_or_cannot_be_tested() {
    let images = Images::new(1, 1);
    let message = refusal(images.experiment(&["federation.min_clients=4"]));
    assert_tells(&message, &["federation.min_clients", "3 clients", "lower it"]);
    let message = refusal(images.experiment(&["data.limit.test=0"]));
    assert_tells(&message, &["no client has a test image", "data.limit.test"]);
}

#[test]
fn one_image_has_nothing_to_be_contrasted_with() {
    let images = Images::new(1, 1);
    let alone = ["partition={ kind = 'iid', clients = 12 }", "training.rounds=1"];
    let (_, told) = run(images.experiment(&alone));
    let warnings = told.warnings();
    let about: Vec<_> = warnings.iter().filter(|warning| warning.contains("infonce")).collect();
    assert_eq!(about.len(), 1, "one line for all twelve");
    assert_tells(about[0], &["client-00 and 11 more", "method.loss"]);
    let (_, told) = run(images.experiment(&[alone[0], alone[1], "method.loss=class-ce"]));
    assert_eq!(told.warnings(), [""; 0]);
}

#[test]
fn adapters_that_fit_nowhere() {
    let images = Images::new(1, 1);
    let message = refusal(images.experiment(&["method.lora.target_modules=[\"outproj\"]"]));
    let example = "text_model.encoder.layers.0.self_attn.q_proj";
    assert_tells(&message, &["method.lora.target_modules", "outproj", example]);
    let message = refusal(images.experiment(&["method.lora.r=25"]));
    assert_tells(&message, &["method.lora.r", "choose r <= 24"]);
    assert!(!images.cache().exists(), "told before the images are encoded");
}

/// An experiment that was not read from a file is checked, too.
#[test]
fn values_that_were_set_in_code() {
    let images = Images::new(1, 1);
    let mut experiment = images.experiment(&[]);
    experiment.training.batch_size = 0;
    assert_tells(&refusal(experiment), &["noise", "training.batch_size"]);
    let mut experiment = images.experiment(&[]);
    experiment.data.template = Some("a photo.".into());
    assert_tells(&refusal(experiment), &["data.template", "`{}`"]);
    // Any seed can be written.
    let mut experiment = images.experiment(&[]);
    experiment.seed = u64::MAX;
    let again = Experiment::from_toml("again", &experiment.to_toml(), &[]).unwrap();
    assert_eq!(again.seed, u64::MAX);
}
