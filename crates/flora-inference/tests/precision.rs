//! The bundled model in bf16, on real images.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_clip::Precision;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, Limit, Split};
use flora_inference::embed::{Items, embed};
use flora_inference::{Model, image_features, image_files, score, sentences};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn clip_nano(precision: Precision) -> Model {
    let model = Model::open(&root().join("models/clip-nano"), None, &Device::flex()).unwrap();
    model.in_precision(precision).unwrap()
}

fn emoji(count: usize) -> Dataset {
    let dataset =
        Dataset::open(&root().join("datasets/emoji-vendors/emoji-vendors.toml"), None).unwrap();
    dataset.limit(Limit { train: None, test: Some(count) }, 0).only(Split::Test)
}

/// Cosine of two rows.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn features_are_near_and_so_are_predictions() {
    let dataset = emoji(300);
    let workers = Workers::new(2).unwrap();
    let of = |precision| {
        let model = clip_nano(precision);
        let rows = image_features(&model, &dataset, None, &workers, &mut |_| {}).unwrap();
        let sentences = sentences(dataset.classes(), &[dataset.template().clone()]);
        let classifier = model.embedder.classifier(&sentences).unwrap();
        let scores = score(&model, &classifier, &dataset, None, &workers, &mut |_| {}).unwrap();
        let best = |row: &[f32]| {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            best.expect("a class").0
        };
        let predictions: Vec<usize> = scores.values.chunks(scores.classes).map(best).collect();
        let right = predictions.iter().zip(&scores.labels).filter(|(a, b)| a == b).count();
        (rows.into_memory().unwrap(), predictions, right)
    };
    let (plain, rounded) = (of(Precision::F32), of(Precision::Bf16));
    let rows = plain.0.values.chunks(plain.0.dim).zip(rounded.0.values.chunks(plain.0.dim));
    let least = rows.map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
    assert!(least > 0.999 && least < 1.0, "{least}");
    let agree = plain.1.iter().zip(&rounded.1).filter(|(a, b)| a == b).count();
    assert!(agree >= 294, "{agree} of 300 predictions agree");
    assert!(plain.2.abs_diff(rounded.2) <= 3, "{} and {} are right", plain.2, rounded.2);
}

#[test]
fn caches_and_files_tell_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path().join("cache"));
    let (dataset, workers) = (emoji(20), Workers::new(1).unwrap());
    let features = |precision, cache| {
        let model = clip_nano(precision);
        let rows = image_features(&model, &dataset, cache, &workers, &mut |_| {}).unwrap();
        rows.into_memory().unwrap()
    };
    let rounded = features(Precision::Bf16, Some(&cache));
    let plain = features(Precision::F32, Some(&cache));
    assert_ne!(plain, rounded);
    assert_eq!(plain, features(Precision::F32, None));
    // Both are there now.
    assert_eq!(plain, features(Precision::F32, Some(&cache)));
    assert_eq!(rounded, features(Precision::Bf16, Some(&cache)));

    // Rows of an earlier call are those of its precision. 40 images are a batch and a half, and one of them is broken.
    let paths = [root().join("datasets/emoji-vendors/images")];
    let mut files = image_files(&paths).unwrap();
    files.truncate(40);
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    let target = folder.path().join("rows.npy");
    let mut with_broken = files.clone();
    with_broken[39] = broken;
    let write = |precision, files: &[PathBuf]| {
        embed(&clip_nano(precision), Items::Images(files), &target, false, &workers, &mut |_| {})
    };
    write(Precision::Bf16, &with_broken).unwrap_err();
    assert_eq!(write(Precision::F32, &files).unwrap().resumed, 0);
    write(Precision::Bf16, &with_broken).unwrap_err();
    assert_eq!(write(Precision::Bf16, &files).unwrap().resumed, 32);
}
