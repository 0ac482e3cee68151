//! Image features are computed once, and reused only if everything they depend on is the same.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::common::{Images, bits, run, tiny_clip};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn modified(file: &Path) -> SystemTime {
    file.metadata().unwrap().modified().unwrap()
}

#[test]
fn a_second_run_reads_them_and_gives_the_same_bits() {
    let images = Images::new(3, 2);
    let (first, told) = run(images.experiment(&[]));
    assert_eq!(told.progress.last().unwrap(), &("images".to_owned(), 60, 60));
    let [file] = &files(&images.cache())[..] else { panic!("one file") };
    let written = modified(file);

    let (second, told) = run(images.experiment(&[]));
    assert!(told.progress.is_empty(), "nothing is computed");
    assert_eq!(modified(file), written);
    let [first, second] = [first, second].map(|finished| finished.outcome.unwrap());
    assert_eq!(bits(&first.last), bits(&second.last));

    // Seeds, losses and clients do not affect features.
    let (_, told) = run(images.experiment(&["seed=9", "method.loss=class-ce", "data.seed=4"]));
    assert!(told.progress.is_empty());
}

#[test]
fn a_damaged_file_is_told_and_replaced() {
    let images = Images::new(1, 1);
    let (first, _) = run(images.experiment(&[]));
    let [file] = &files(&images.cache())[..] else { panic!("one file") };
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, &whole[..whole.len() - 7]).unwrap();

    let (second, told) = run(images.experiment(&[]));
    let [warning] = told.warnings()[..] else { panic!("one warning") };
    assert!(warning.contains(file.to_str().unwrap()), "{warning}");
    assert_eq!(std::fs::read(file).unwrap(), whole);
    let [first, second] = [first, second].map(|finished| finished.outcome.unwrap());
    assert_eq!(bits(&first.last), bits(&second.last));
}

#[test]
fn another_picture_or_another_tower_has_other_features() {
    let images = Images::new(1, 1);
    run(images.experiment(&[]));
    let picture = images.path().join("images/alpha/train/cat/0.png");
    std::fs::copy(images.path().join("images/beta/train/cat/0.png"), &picture).unwrap();
    let (_, told) = run(images.experiment(&[]));
    assert!(!told.progress.is_empty(), "the pictures are not the same");
    assert_eq!(files(&images.cache()).len(), 2);

    // The same weights in a tower that uses them differently.
    let model = images.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for file in files(&tiny_clip()) {
        std::fs::copy(&file, model.join(file.file_name().unwrap())).unwrap();
    }
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["vision_config"]["hidden_act"] = "gelu".into();
    std::fs::write(model.join("config.json"), config.to_string()).unwrap();
    let (_, told) = run(images.experiment(&[&format!("model.path={}", model.display())]));
    assert!(!told.progress.is_empty(), "the towers are not the same");
    assert_eq!(files(&images.cache()).len(), 3);
}

#[test]
fn a_cache_that_cannot_be_used_costs_only_time() {
    let images = Images::new(1, 1);
    let (expected, _) = run(images.experiment(&[]));
    // A name too long for a folder can be neither read nor created.
    let cache = images.path().join("x".repeat(300));
    let (finished, told) = run(images.experiment(&[&format!("data.cache={}", cache.display())]));
    assert!(!told.warnings().is_empty(), "it is told");
    let [expected, finished] = [expected, finished].map(|finished| finished.outcome.unwrap());
    assert_eq!(bits(&finished.last), bits(&expected.last));
}
