//! Adapters of every kind that `peft` writes for a CLIP: the features with each are PEFT's.
//! `fixtures/makers/adapters.py` made them.

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use common::{Expected, fixture, max_difference, values};
use flora_clip::{Checkpoint, Clip, Padding, SaveOptions, Tokens};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_lora::{PeftAdapter, Towers, attach_peft, load_peft, merge};

struct Case {
    checkpoint: Checkpoint,
    clip: Clip,
    tokens: Tokens,
    images: Tensor<4>,
    expected: Expected,
}

impl Case {
    fn new() -> Self {
        let device = Device::flex();
        let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
        let inputs = Expected::read("tiny-clip/expected.safetensors");
        let config = &checkpoint.config.text_config;
        Self {
            clip: checkpoint.load(&device).unwrap(),
            tokens: Tokens::new(&inputs.input_ids(), Padding::Context, config).unwrap(),
            images: inputs.tensor("pixel_values", &device),
            expected: Expected::read("peft/expected.safetensors"),
            checkpoint,
        }
    }

    fn assert_features(&self, clip: &Clip, name: &str, what: &str) {
        let images = clip.image_features(self.images.clone());
        for (kind, features) in
            [("text_features", clip.text_features(&self.tokens)), ("image_features", images)]
        {
            let (_, expected) = self.expected.f32(&format!("{name}/{kind}"));
            let size = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
            let error = max_difference(&values(features), &expected) / size;
            println!("{name} {what} {kind}: {error:e}");
            assert!(error <= 1e-5, "{name} {what}: {kind} differ by {error:e}");
        }
    }
}

/// The fixtures, the tower that each keeps to, and how many tensors it has besides A and B.
const ADAPTERS: [(&str, Towers, usize); 14] = [
    ("text-model", Towers::Text, 0),
    ("vision-model", Towers::Vision, 2),
    ("text-with-projection", Towers::Text, 1),
    ("vision-with-projection", Towers::Vision, 8),
    ("text-model-unnamed", Towers::Text, 0),
    ("layers", Towers::Both, 0),
    ("layers-pattern", Towers::Both, 0),
    ("dora", Towers::Both, 32),
    ("dora-whole", Towers::Both, 16),
    ("lora-bias", Towers::Both, 10),
    ("lora-bias-everywhere", Towers::Both, 32),
    ("whole", Towers::Both, 16),
    ("bias-all", Towers::Both, 43),
    ("bias-lora-only", Towers::Both, 10),
];

fn load(name: &str) -> PeftAdapter {
    load_peft(&fixture("peft").join(name)).unwrap()
}

#[test]
fn every_adapter_gives_the_features_of_peft() {
    let mut case = Case::new();
    for (name, towers, extras) in ADAPTERS {
        let adapter = load(name).fitted(&mut case.clip).unwrap();
        assert_eq!((adapter.config.towers, adapter.extras.len()), (towers, extras), "{name}");
        // Whoever attaches it as it was read gets the same.
        for adapter in [&adapter, &load(name)] {
            let clip = attach_peft(case.clip.clone(), adapter).unwrap();
            case.assert_features(&clip, name, "attached");
            case.assert_features(&merge(clip), name, "merged");
        }
    }
}

#[test]
fn what_is_attached_can_be_exported() {
    let case = Case::new();
    let Checkpoint { config, tokenizer, preprocessor, .. } = &case.checkpoint;
    let save = |clip: &Clip, folder: &Path| {
        let options = SaveOptions::from(Dtype::F32);
        Checkpoint::save(folder, clip, config, tokenizer, preprocessor, options)
    };
    for name in ["dora-whole", "lora-bias", "whole", "bias-all"] {
        let clip = merge(attach_peft(case.clip.clone(), &load(name)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        save(&clip, folder.path()).unwrap();
        let read = Checkpoint::open(folder.path()).unwrap().load(&Device::flex()).unwrap();
        case.assert_features(&read, name, "exported");
    }
    // A projection has no bias in a checkpoint; PEFT does not merge such an adapter, either.
    let clip = merge(attach_peft(case.clip.clone(), &load("lora-bias-everywhere")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let error = save(&clip, &folder.path().join("new")).unwrap_err().to_string();
    assert!(error.contains("text_projection has a bias"), "{error}");
    assert!(!folder.path().join("new").exists());
}

/// `record` without a tensor, and with another in its place.
fn edited(
    record: &ParameterRecord,
    without: &str,
    with: Option<(&str, &[usize])>,
) -> ParameterRecord {
    let mut edited = record.filter(|name| name != without);
    assert!(edited.len() < record.len() || without.is_empty(), "{without}");
    if let Some((name, shape)) = with {
        let ones = vec![1.0; shape.iter().product()];
        edited.insert(name, HostTensor::from_f32(shape, ones).unwrap()).unwrap();
    }
    edited
}

#[test]
fn what_does_not_fit_the_model_is_named() {
    let case = Case::new();
    let with = |name: &str, without: &str, with: Option<(&str, &[usize])>| {
        let adapter = load(name);
        PeftAdapter { extras: edited(&adapter.extras, without, with), ..adapter }
    };
    let projection = "visual_projection.weight";
    let norm = "vision_model.post_layernorm.weight";
    let dora = "text_projection.lora_magnitude_vector";
    let bias = "text_model.encoder.layers.0.mlp.fc2.lora_B.bias";
    for (adapter, tensor, problem) in [
        (with("dora-whole", norm, None), norm, "modules_to_save"),
        (
            with("dora-whole", norm, Some((norm, &[31]))),
            norm,
            "shape [31], but the module's is [32]",
        ),
        (
            with("whole", projection, Some((projection, &[32, 20]))),
            projection,
            "shape [32, 20], but the module's is [20, 32]",
        ),
        (with("whole", "", Some(("classifier.weight", &[2, 20]))), "classifier.weight", "no such"),
        (with("dora", dora, Some((dora, &[21]))), dora, "shape [21], but the layer has 20"),
        (with("lora-bias", bias, Some((bias, &[3]))), bias, "shape [3], but the layer has 24"),
    ] {
        let error = attach_peft(case.clip.clone(), &adapter).unwrap_err().to_string();
        assert!(error.contains(tensor) && error.contains(problem), "{error}");
    }
    // A layer of zeros has no direction.
    let mut adapter = load("dora");
    for end in ["A", "B"] {
        let name = format!("text_projection.lora_{end}.weight");
        let zeros = vec![0.0; adapter.record.get(&name).unwrap().len()];
        let shape = adapter.record.get(&name).unwrap().shape().to_vec();
        let tensor = HostTensor::from_f32(shape, zeros).unwrap();
        adapter.record = adapter.record.filter(|other| other != name);
        adapter.record.insert(name, tensor).unwrap();
    }
    let mut clip = case.clip.clone();
    clip.text_projection.weight = clip.text_projection.weight.map(|weight| weight.zeros_like());
    let error = attach_peft(clip, &adapter).unwrap_err().to_string();
    assert!(error.contains(dora) && error.contains("no weights"), "{error}");
    // A layer that is not there.
    let mut adapter = load("layers");
    let mut moved = ParameterRecord::new();
    for (name, tensor) in adapter.record.iter() {
        moved.insert(name.replace("layers.2.", "layers.99."), tensor.clone()).unwrap();
    }
    adapter.record = moved;
    let error = attach_peft(case.clip.clone(), &adapter).unwrap_err().to_string();
    assert!(error.contains("text_model.encoder.layers.2.self_attn"), "{error}");
}

/// With `bias = "all"`, PEFT writes the bias of a module in `modules_to_save` once more, and what stood there before.
#[test]
fn copies_of_saved_modules_are_passed_over() {
    let from = fixture("peft/bias-all");
    let folder = tempfile::tempdir().unwrap();
    let config = "adapter_config.json";
    std::fs::copy(from.join(config), folder.path().join(config)).unwrap();
    let tensors = "adapter_model.safetensors";
    let mut record = ParameterRecord::load(from.join(tensors)).unwrap();
    let bias = |name: &&str| name.ends_with("layers.0.layer_norm1.bias");
    let name = record.names().find(bias).unwrap().to_owned();
    let own = record.get(&name).unwrap().clone();
    let before = HostTensor::from_f32(own.shape().to_vec(), vec![7.0; own.shape()[0]]).unwrap();
    for (inner, tensor) in [("modules_to_save", own), ("original_module", before)] {
        record.insert(name.replace(".bias", &format!(".{inner}.bias")), tensor).unwrap();
    }
    record.save(folder.path().join(tensors)).unwrap();
    assert_eq!(load_peft(folder.path()).unwrap(), load_peft(&from).unwrap());
}
