//! A whole pretraining run on a few pairs.

use std::io::Write;
use std::path::Path;

use burn::tensor::Device;
use flora_clip::{Checkpoint, Padding, Tokens, normalize};
use flora_pretrain::{PairSet, PretrainConfig, PretrainError, pretrain};

const SIDE: usize = 64;

/// `count` pictures of one plain colour each, named after it.
fn write_pairs(folder: &Path, count: usize) {
    let mut list = std::fs::File::create(folder.join("pairs.jsonl")).unwrap();
    let mut pixels = Vec::new();
    for index in 0..count {
        let (name, color) = [
            ("red square", [255, 0, 0, 255]),
            ("green leaf", [0, 255, 0, 255]),
            ("blue sea", [0, 0, 255, 255]),
            ("yellow sun", [255, 255, 0, 255]),
        ][index % 4];
        let split = if index < 4 { "valid" } else { "train" };
        let line = serde_json::json!({
            "source": "test", "kind": "color", "license": "CC0", "name": name, "captions": [name],
            "mono": false, "split": split,
        });
        writeln!(list, "{line}").unwrap();
        pixels.extend(std::iter::repeat_n(color, SIDE * SIDE).flatten());
    }
    let view = safetensors::tensor::TensorView::new(
        safetensors::Dtype::U8,
        vec![count, SIDE, SIDE, 4],
        &pixels,
    );
    let bytes = safetensors::serialize([("images", view.unwrap())], None).unwrap();
    std::fs::write(folder.join("pairs.safetensors"), bytes).unwrap();
}

fn config(folder: &Path) -> PretrainConfig {
    let text = format!(
        "model = 'clip-nano'\npairs = '{0}'\nout = '{0}/model'\nepochs = 6\nbatch_size = 16\n\
         learning_rate = 1e-3\nwarmup_steps = 2\nshard_size = 8\nthreads = 2\n\
         augmentation = {{ hue = 0.0, grey = 0.0, outline = 0.0 }}",
        folder.display()
    );
    let path = folder.join("pretrain.toml");
    std::fs::write(&path, text).unwrap();
    PretrainConfig::from_file(&path).unwrap()
}

#[test]
fn a_run_learns_and_leaves_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    write_pairs(dir.path(), 36);
    let config = config(dir.path());
    let device = Device::flex();
    let summary = pretrain(&config, &device).unwrap();
    assert_eq!((summary.train_pairs, summary.valid_pairs, summary.steps), (32, 4, 12));
    assert!(summary.parameters > 6_000_000);

    let checkpoint = Checkpoint::open(&config.out).unwrap();
    let model = checkpoint.load(&device).unwrap();
    let texts = ["red square", "green leaf", "blue sea", "yellow sun"];
    let texts = checkpoint.tokenizer.encode_all(&texts).unwrap();
    let tokens = Tokens::new(&texts, Padding::Longest, &checkpoint.config.text_config).unwrap();
    let set = PairSet::open(&config.pairs).unwrap();
    let images: Vec<_> = (0..4)
        .map(|index| {
            let rgba = set.image(index).unwrap();
            image::RgbaImage::from_raw(SIDE as u32, SIDE as u32, rgba).unwrap().into()
        })
        .collect();
    let images = checkpoint.preprocessor.batch(&images, &device).unwrap();
    let images = normalize(model.image_features(images));
    let similarities = images.matmul(normalize(model.text_features(&tokens)).transpose());
    let best = similarities.argmax(1).into_data().convert::<i64>().try_into_vec::<i64>().unwrap();
    assert_eq!(best, [0, 1, 2, 3], "each colour must be closest to its own name");
}

/// A training resumed from a checkpoint ends with the weights of one that was never stopped.
#[test]
fn a_resumed_training_is_the_same_training() {
    let dir = tempfile::tempdir().unwrap();
    write_pairs(dir.path(), 36);
    let mut config = config(dir.path());
    (config.epochs, config.patch_dropout, config.whole_epochs) = (3, 0.5, 1);
    let weights = || std::fs::read(config.out.join("model.safetensors")).unwrap();
    pretrain(&config, &Device::flex()).unwrap();
    let whole = weights();
    let resumed = PretrainConfig { resume_from: Some(2), ..config.clone() };
    pretrain(&resumed, &Device::flex()).unwrap();
    assert!(weights() == whole, "the weights differ");
}

#[test]
fn unusable_pairs_and_settings_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = PairSet::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("pairs.jsonl") && error.contains("flora-icons"), "{error}");

    write_pairs(dir.path(), 36);
    let good = config(dir.path());
    let refused = |change: fn(&mut PretrainConfig), what: &str| {
        let mut config = good.clone();
        change(&mut config);
        let error = pretrain(&config, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(|config| config.model = "clip-giga".into(), "clip-nano, vit-base-patch32");
    refused(|config| config.epochs = 0, "epochs");
    refused(|config| config.resume_from = Some(9), "resume_from");
    refused(|config| config.resume_from = Some(3), "model-3.bpk");
    refused(|config| config.learning_rate = f64::NAN, "learning_rate");
    refused(|config| config.batch_size = 64, "32 training pairs");
    refused(|config| config.patch_dropout = 1.0, "patch_dropout");
    refused(|config| config.epoch_pairs = 3, "epoch_pairs");
    refused(|config| config.whole_epochs = 7, "whole_epochs");
    refused(|config| config.mix = [("photo".into(), 1.0)].into(), "there are color");
    refused(|config| config.augmentation.scale = [2.0, 1.0], "augmentation.scale");

    let path = dir.path().join("pairs.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = PairSet::open(dir.path()).unwrap_err();
    assert!(matches!(error, PretrainError::File { .. }), "{error}");
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pretrain.toml");
    std::fs::write(&path, "model = 'clip-nano'\nepocs = 3\n").unwrap();
    let error = PretrainConfig::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("epocs") && error.contains("pretrain.toml"), "{error}");
}

#[test]
fn values_that_would_change_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let path = dir.path().join("pretrain.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    let table = "{ hue = 0.0, grey = 0.0, outline = 0.0 }";
    for (augmentation, problem) in [
        ("[]", "augmentation: expected a table, found a list"),
        ("{ hue = 1e300 }", "1e300 does not fit in single precision"),
        ("{ scale = [1e-300, 1.0] }", "1e-300 does not fit in single precision"),
    ] {
        std::fs::write(&path, whole.replace(table, augmentation)).unwrap();
        let error = PretrainConfig::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}
