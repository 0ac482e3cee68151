//! Writing and reading folders, and the errors for damaged ones.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use common::{Expected, bits, fixture, max_difference, values};
use flora_clip::{Checkpoint, Clip, ClipConfig, Padding, Tokens};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use tempfile::TempDir;

/// Both towers' features of the fixture's images and texts.
fn outputs(checkpoint: &Checkpoint) -> (Vec<u32>, Vec<f32>) {
    let device = Device::flex();
    let model = checkpoint.load(&device).unwrap();
    let expected = Expected::read("tiny-clip/expected.safetensors");
    let images = model.image_features(expected.tensor("pixel_values", &device));
    let config = &checkpoint.config.text_config;
    let tokens = Tokens::new(&expected.input_ids(), Padding::Context, config).unwrap();
    let texts = model.text_features(&tokens);
    let all = burn::tensor::Tensor::cat(vec![images, texts], 0);
    (bits(all.clone()), values(all))
}

fn save(folder: &Path, dtype: Dtype) -> Checkpoint {
    let original = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let model = original.load(&Device::flex()).unwrap();
    let Checkpoint { config, tokenizer, preprocessor, .. } = &original;
    Checkpoint::save(folder, &model, config, tokenizer, preprocessor, dtype).unwrap();
    Checkpoint::open(folder).unwrap()
}

#[test]
fn f32_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let original = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let saved = save(&folder.path().join("new/folder"), Dtype::F32);
    assert_eq!(saved.config, original.config);
    assert_eq!(saved.preprocessor, original.preprocessor);
    assert_eq!(outputs(&saved).0, outputs(&original).0);

    // Saving a loaded model gives the same file: values do not drift.
    let again = folder.path().join("again");
    let model = saved.load(&Device::flex()).unwrap();
    let Checkpoint { config, tokenizer, preprocessor, .. } = &saved;
    Checkpoint::save(&again, &model, config, tokenizer, preprocessor, Dtype::F32).unwrap();
    assert_eq!(Checkpoint::open(&again).unwrap().digest().unwrap(), saved.digest().unwrap());
}

#[test]
fn f16_comes_back_rounded_at_half_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let original = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let saved = save(folder.path(), Dtype::F16);
    let (exact, rounded) = (outputs(&original).1, outputs(&saved).1);
    let error = max_difference(&exact, &rounded);
    let largest = max_difference(&exact, &vec![0.0; exact.len()]);
    println!("f16: {error:e} of {largest}");
    assert!(error > 0.0 && error < 1e-2 * largest, "{error} of {largest}");
    let length = |folder: &Path| folder.join("model.safetensors").metadata().unwrap().len();
    assert!(length(folder.path()) < 6 * length(original.path()) / 10);
    assert_ne!(saved.digest().unwrap(), original.digest().unwrap());

    // bf16 is read and written, too.
    let brain = save(folder.path(), Dtype::Bf16);
    let error = max_difference(&exact, &outputs(&brain).1);
    assert!(error > 0.0 && error < 1e-1 * largest, "{error} of {largest}");
}

#[test]
fn a_saved_folder_is_one_that_transformers_reads() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), Dtype::F32);
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "config.json",
            "merges.txt",
            "model.safetensors",
            "preprocessor_config.json",
            "tokenizer_config.json",
            "vocab.json"
        ]
    );

    let json = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let config = json(&folder.path().join("config.json"));
    assert_eq!(config["architectures"], serde_json::json!(["CLIPModel"]));
    assert_eq!(config["model_type"], "clip");
    // What the classes for one tower look at.
    assert_eq!(config["text_config"]["projection_dim"], 20);
    assert_eq!(config["vision_config"]["projection_dim"], 20);
    let theirs = json(&fixture("tiny-clip/preprocessor_config.json"));
    let ours = json(&folder.path().join("preprocessor_config.json"));
    for key in ["size", "crop_size", "resample", "image_processor_type", "do_normalize"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }

    // The same names, shapes and values as in the file that transformers wrote, a scalar among them.
    let weights = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    assert_eq!(flora_core::read_metadata(&bytes).unwrap()["format"], "pt");
    let ours = ParameterRecord::from_safetensors(&bytes).unwrap();
    let theirs = ParameterRecord::load(fixture("tiny-clip/model.safetensors")).unwrap();
    assert_eq!(ours.get("logit_scale").unwrap().shape(), [0; 0]);
    ours.check_matches(&theirs).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn a_model_that_cannot_be_loaded_again_is_not_saved() {
    // 100,000 is beyond f16: it would become an infinity.
    let mut weights = ParameterRecord::load(fixture("tiny-clip/model.safetensors")).unwrap();
    weights = replaced(&weights, "logit_scale", Some(tensor(&[], 100_000.0)));
    let folder = copy(&weights);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let model = checkpoint.load(&Device::flex()).unwrap();
    let target = folder.path().join("target");
    let Checkpoint { config, tokenizer, preprocessor, .. } = &checkpoint;
    let error = Checkpoint::save(&target, &model, config, tokenizer, preprocessor, Dtype::F16)
        .unwrap_err()
        .to_string();
    assert!(error.contains("logit_scale") && error.contains("model.safetensors"), "{error}");
    assert!(!target.join("model.safetensors").exists());
}

#[test]
fn random_weights_follow_the_seed_and_can_be_saved() {
    let config = ClipConfig::from_file(&fixture("tiny-clip/config.json")).unwrap();
    let device = Device::flex();
    let weights = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let original = Checkpoint::open(&fixture("tiny-clip")).unwrap();
        let model = Clip::random(&config, seed, &device);
        let Checkpoint { tokenizer, preprocessor, .. } = &original;
        Checkpoint::save(folder.path(), &model, &config, tokenizer, preprocessor, Dtype::F32)
            .unwrap();
        Checkpoint::open(folder.path()).unwrap().load(&device).unwrap();
        ParameterRecord::load(folder.path().join("model.safetensors")).unwrap()
    };
    let first = weights(1);
    assert_eq!(first, weights(1));
    let second = weights(2);
    for (name, tensor) in first.iter() {
        // The class token starts as zero.
        let drawn = (name.contains("embedding") && !name.contains("class_embedding"))
            || (name.ends_with("weight") && !name.contains("norm") && !name.contains("layrnorm"));
        assert_eq!(Some(tensor) != second.get(name), drawn, "{name}");
    }
}

// ------------------------------------------------------------------------------- damaged folders

fn tensor(shape: &[usize], value: f32) -> HostTensor {
    HostTensor::from_f32(shape, vec![value; shape.iter().product()]).unwrap()
}

/// A copy of `record` with one tensor replaced, added or (`None`) left out.
fn replaced(record: &ParameterRecord, name: &str, new: Option<HostTensor>) -> ParameterRecord {
    let mut copy = ParameterRecord::new();
    for (other, tensor) in record.iter().filter(|(other, _)| *other != name) {
        copy.insert(other, tensor.clone()).unwrap();
    }
    if let Some(tensor) = new {
        copy.insert(name, tensor).unwrap();
    }
    copy
}

/// `tiny-clip` with other weights.
fn copy(weights: &ParameterRecord) -> TempDir {
    copy_bytes(&weights.to_safetensors())
}

fn copy_bytes(weights: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("tiny-clip/config.json"), folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    folder
}

fn load_error(folder: &TempDir) -> String {
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let error = checkpoint.load(&Device::flex()).unwrap_err().to_string();
    let path = folder.path().join("model.safetensors");
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    let error = Checkpoint::open(&missing).unwrap_err().to_string();
    assert!(error.starts_with(missing.to_str().unwrap()) && error.contains("no such folder"));

    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");

    std::fs::copy(fixture("tiny-clip/config.json"), folder.path().join("config.json")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no weights") && error.contains("model.safetensors"), "{error}");

    // Weights that vanish after the folder was opened.
    let folder = copy_bytes(&std::fs::read(fixture("tiny-clip/model.safetensors")).unwrap());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    for error in [checkpoint.load(&Device::flex()).map(drop), checkpoint.digest().map(drop)]
        .map(Result::unwrap_err)
    {
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_bad_configuration_is_named() {
    let text = std::fs::read_to_string(fixture("tiny-clip/config.json")).unwrap();
    for (config, named) in [
        (String::new(), "not a CLIP configuration"),
        ("{}".into(), "neither model_type nor text_config"),
        (text.replace("\"layer_norm_eps\": 1e-05", "\"layer_norm_eps\": 0.0"), "layer_norm_eps"),
        ("weights".into(), "not a CLIP configuration"),
        (text[..text.len() / 2].into(), "not a CLIP configuration"),
        (text.replace("\"quick_gelu\"", "\"relu\""), "relu"),
        (text.replace("\"model_type\": \"clip\"", "\"model_type\": \"siglip\""), "siglip"),
        (text.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"), "heads"),
        (text.replace("\"patch_size\": 8", "\"patch_size\": 0"), "patch_size"),
        (
            text.replace("\"hidden_size\": 24", "\"hidden_size\": -1"),
            "not a CLIP configuration: text_config.hidden_size",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, &config).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
        let error = Checkpoint::open(folder.path()).expect_err(named).to_string();
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains(named), "{error}");
    }
}

#[test]
fn a_truncated_file_is_named_wherever_it_is_cut() {
    let whole = std::fs::read(fixture("tiny-clip/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for cut in [0, 1, 7, 8, 9, header / 2, header + 7, header + 8, whole.len() / 2, whole.len() - 1]
    {
        let error = load_error(&copy_bytes(&whole[..cut]));
        assert!(error.contains("not a valid safetensors file"), "cut at {cut}: {error}");
    }
    let longer = [&whole[..], b"more"].concat();
    assert!(load_error(&copy_bytes(&longer)).contains("not a valid safetensors file"));
}

#[test]
fn a_header_that_lies_is_named() {
    let whole = std::fs::read(fixture("tiny-clip/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap());
    for lie in [0, 1, header - 1, header + 1, whole.len() as u64, u64::MAX / 2, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        let error = load_error(&copy_bytes(&bytes));
        assert!(error.contains("not a valid safetensors file"), "length {lie}: {error}");
    }
    // Shapes and offsets that no file of this length can have.
    let text = std::str::from_utf8(&whole[8..8 + header as usize]).unwrap();
    for (from, to) in [
        ("\"shape\":[1024,24]", "\"shape\":[9999,24]"),
        ("\"shape\":[1024,24]", "\"shape\":[18446744073709551615,24]"),
        ("\"F32\"", "\"F99\""),
        ("\"data_offsets\":[0,", "\"data_offsets\":[8,"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let length = (changed.len() as u64).to_le_bytes();
        let bytes = [&length[..], changed.as_bytes(), &whole[8 + header as usize..]].concat();
        let error = load_error(&copy_bytes(&bytes));
        assert!(error.contains("not a valid safetensors file"), "{to}: {error}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let whole = ParameterRecord::load(fixture("tiny-clip/model.safetensors")).unwrap();
    let projection = "visual_projection.weight";
    let bias = "text_model.encoder.layers.2.mlp.fc1.bias";
    let fourth = "text_model.encoder.layers.3.mlp.fc1.bias";
    let norm = "vision_model.pre_layrnorm.weight";
    let mut values = vec![0.0; 48];
    values[47] = f32::NAN;
    let nan = HostTensor::from_f32([48], values).unwrap();
    for (name, new, problem) in [
        (projection, None, "missing"),
        (norm, None, "missing"),
        ("logit_scale", None, "missing"),
        (fourth, Some(tensor(&[48], 0.0)), "not a part of this model"),
        ("lora_A", Some(tensor(&[1], 0.0)), "not a part of this model"),
        // The transpose has as many numbers, and is wrong.
        (
            projection,
            Some(tensor(&[32, 20], 0.0)),
            "shape [32, 20], but the configuration asks for [20, 32]",
        ),
        (bias, Some(tensor(&[47], 0.0)), "shape [47]"),
        (bias, Some(tensor(&[48, 1], 0.0)), "shape [48, 1]"),
        (bias, Some(tensor(&[], 0.0)), "shape []"),
        ("logit_scale", Some(tensor(&[2], 0.0)), "shape [2]"),
        (bias, Some(nan), "NaN"),
        (projection, Some(tensor(&[20, 32], f32::INFINITY)), "inf"),
    ] {
        let error = load_error(&copy(&replaced(&whole, name, new)));
        assert!(error.contains(&format!("{name:?}")) && error.contains(problem), "{error}");
    }
    // Some files store the scalar as a vector of one.
    let vector = replaced(&whole, "logit_scale", Some(tensor(&[1], 2.0)));
    let folder = copy(&vector);
    let model = Checkpoint::open(folder.path()).unwrap().load(&Device::flex()).unwrap();
    assert!((model.temperature_factor() - 2f32.exp()).abs() < 1e-5);
}

#[test]
fn a_type_that_is_no_float_is_named() {
    let bytes = std::fs::read(fixture("tiny-clip/model.safetensors")).unwrap();
    let name = "text_model.encoder.layers.1.mlp.fc2.bias";
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let integers: Vec<u8> = (0..24i64).flat_map(i64::to_le_bytes).collect();
    let mut views: BTreeMap<_, _> = file.tensors().into_iter().collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![24], &integers);
    views.insert(name.to_owned(), view.unwrap());
    let error = load_error(&copy_bytes(&safetensors::serialize(views, None).unwrap()));
    assert!(error.contains(name) && error.contains("I64"), "{error}");
}
