//! The states below the first adapter of the vision tower are computed once per run.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_federation::Outcome;
use flora_tuning::prepare;

use crate::common::{Images, Listener, bits, max_difference, outcome, run, save};

/// One adapter in the last of the two blocks, whose input needs all tokens: 4 x 4 patches and the class token, of width
/// 32.
const LAST: [&str; 2] = [
    "method.lora.towers=vision",
    "method.lora.target_modules=[\"vision_model.encoder.layers.1.self_attn.v_proj\"]",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LAST[..], more].concat()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn accuracies(outcome: &Outcome) -> Vec<f64> {
    outcome.history.iter().map(|score| score.accuracy).collect()
}

#[test]
fn a_run_is_the_uncached_one_and_the_next_run_computes_nothing() {
    let images = Images::new(2, 1);
    let naive = outcome(images.experiment(&with(&["method.implementation=naive"])));
    assert!(files(&images.cache()).is_empty(), "the naive path keeps nothing");

    let (first, told) = run(images.experiment(&with(&[])));
    let [file] = &files(&images.cache())[..] else { panic!("one file") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("activations-"));
    let [note] = told.notes()[..] else { panic!("{:?}", told.notes()) };
    // 3 domains x 4 classes x (2 + 1) images.
    assert!(note.contains("36 images x 17 x 32 numbers x 4 bytes = 76.5 KiB"), "{note}");
    assert!(note.contains("before block 1") && note.contains(images.cache().to_str().unwrap()));
    assert_eq!(told.progress.last().unwrap(), &("images".to_owned(), 36, 36));
    let first = first.outcome.unwrap();
    assert!(max_difference(&first.last, &naive.last) < 1e-5);
    assert_eq!(accuracies(&first), accuracies(&naive));

    let (second, told) = run(images.experiment(&with(&[])));
    assert!(told.progress.is_empty() && told.notes().is_empty());
    assert_eq!(bits(&second.outcome.unwrap().last), bits(&first.last));
    // Other adapters above the same cut use the same file.
    let (_, told) = run(images.experiment(&with(&["method.lora.r=3", "seed=8"])));
    assert!(told.progress.is_empty());
}

#[test]
fn half_precision_takes_half_the_room_and_changes_little() {
    let images = Images::new(2, 1);
    let whole = outcome(images.experiment(&with(&[])));
    let (half, told) = run(images.experiment(&with(&["data.cache_dtype=f16"])));
    assert!(told.notes()[0].contains("x 2 bytes = 38.2 KiB"), "{:?}", told.notes());
    let difference = max_difference(&half.outcome.unwrap().last, &whole.last);
    assert!(difference > 0.0 && difference < 1e-2, "{difference:e}");
}

#[test]
fn adapters_decide_what_is_kept() {
    let images = Images::new(1, 1);
    let notes = |towers: &str, layer: &str| {
        let towers = format!("method.lora.towers={towers}");
        let layer = format!("method.lora.target_modules=[\"{layer}\"]");
        let (_, told) = run(images.experiment(&[&towers, &layer, "training.rounds=1"]));
        told.notes().iter().map(|note| (*note).to_owned()).collect::<Vec<_>>()
    };
    for (layer, size) in [
        ("visual_projection", "24 images x 1 x 32 numbers"),
        ("vision_model.encoder.layers.1.mlp.fc1", "24 images x 1 x 32 numbers"),
        ("vision_model.encoder.layers.1.self_attn.out_proj", "24 images x 2 x 32 numbers"),
    ] {
        let notes = notes("vision", layer);
        assert!(notes.len() == 1 && notes[0].contains(size), "{layer}: {notes:?}");
    }
    // Only the patch projection is below.
    assert!(notes("vision", "vision_model.encoder.layers.0.self_attn.q_proj").is_empty());
    assert_eq!(files(&images.cache()).len(), 3);
    // With both towers configured but no adapter in the vision tower, its features are cached as usual.
    assert!(notes("both", "text_model.encoder.layers.2.mlp.fc1").is_empty());
    let files = files(&images.cache());
    assert_eq!(files.len(), 4);
    assert!(files.iter().any(|file| file.to_str().unwrap().contains("features-")));
}

#[test]
fn full_fine_tuning_keeps_nothing() {
    let images = Images::new(1, 1);
    for method in ["fedfft", "fedvm-lc"] {
        let name = format!("method.name={method}");
        let (_, told) =
            run(images.experiment(&[&name, "training.rounds=1", "training.learning_rate=1e-5"]));
        assert!(told.notes().is_empty(), "{method}");
        assert!(files(&images.cache()).is_empty(), "{method}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_time() {
    let images = Images::new(1, 1);
    let expected = outcome(images.experiment(&with(&[])));
    // A file where the folder should be.
    let cache = images.path().join("dataset.toml").join("cache");
    let (finished, told) =
        run(images.experiment(&with(&[&format!("data.cache={}", cache.display())])));
    let [warning] = told.warnings()[..] else { panic!("{:?}", told.warnings()) };
    assert!(warning.contains("at every step"), "{warning}");
    assert!(max_difference(&finished.outcome.unwrap().last, &expected.last) < 1e-5);
}

#[test]
fn images_that_cannot_be_read_are_named_and_nothing_is_left() {
    let images = Images::new(2, 1);
    for path in ["alpha/train/cat/0.png", "gamma/test/house/0.png"] {
        std::fs::write(images.path().join("images").join(path), "no picture").unwrap();
    }
    let experiment = images.experiment(&with(&[]));
    let Err(error) = prepare(experiment, &Device::flex(), &mut Listener::default()) else {
        panic!("two images are damaged")
    };
    let error = error.to_string();
    assert!(error.contains("2 of 36 images") && error.contains("house"), "{error}");
    assert!(files(&images.cache()).is_empty());
}

/// Predictions of a trained model use the same states as the run's own evaluation.
#[test]
fn predictions_of_a_finished_run_have_its_numbers() {
    let images = Images::new(2, 1);
    let experiment = images.experiment(&with(&[]));
    let outcome = outcome(experiment.clone());
    let folder = images.path().join("run");
    save(&experiment, &outcome.last, &folder).unwrap();
    let mut told = Listener::default();
    let prepared = prepare(experiment, &Device::flex(), &mut told).unwrap();
    assert!(told.progress.is_empty());
    let models = prepared.client_models(&folder, &|_| folder.clone(), &Device::flex()).unwrap();
    let predictions = prepared.predict(&models, |client| client.test.clone()).unwrap();
    let mean =
        predictions.iter().map(|it| it.score.accuracy).sum::<f64>() / predictions.len() as f64;
    assert_eq!(mean, outcome.history.last().unwrap().accuracy);
}
