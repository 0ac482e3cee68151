//! Adapters of `peft` on a model in use: their effect, and the errors for unsuitable ones.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_clip::SaveOptions;
use flora_core::{Dtype, ParameterRecord};
use flora_inference::{InferenceError, Model, export_merged};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures").join(name)
}

fn open(adapter: Option<&Path>) -> Result<Model, InferenceError> {
    Model::open(&fixture("tiny-clip"), adapter, &Device::flex())
}

/// A copy of an adapter, with some fields of its configuration set and its tensors changed.
fn changed(
    name: &str,
    fields: &[(&str, Value)],
    tensors: impl Fn(ParameterRecord) -> ParameterRecord,
) -> tempfile::TempDir {
    let (from, to) = (fixture("peft").join(name), tempfile::tempdir().unwrap());
    let text = std::fs::read_to_string(from.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (field, value) in fields {
        config[field] = value.clone();
    }
    std::fs::write(to.path().join("adapter_config.json"), config.to_string()).unwrap();
    let record = ParameterRecord::load(from.join("adapter_model.safetensors")).unwrap();
    tensors(record).save(to.path().join("adapter_model.safetensors")).unwrap();
    to
}

#[test]
fn a_model_knows_which_tower_an_adapter_changes() {
    for (name, vision) in [
        ("text-model", false),
        ("text-model-unnamed", false),
        ("vision-model", true),
        ("text-with-projection", false),
        ("dora", true),
        ("lora-bias", true),
    ] {
        let model = open(Some(&fixture("peft").join(name))).unwrap();
        assert_eq!(model.adapts_vision(), vision, "{name}");
    }
}

#[test]
fn whatever_an_adapter_has_is_part_of_the_fingerprint() {
    let fingerprint = |folder: &Path| open(Some(folder)).unwrap().fingerprint().unwrap();
    let folder = fixture("peft/dora");
    let longer = changed("dora", &[], |record| {
        let mut longer = ParameterRecord::new();
        for (name, tensor) in record.iter() {
            let times =
                if name.ends_with("text_projection.lora_magnitude_vector") { 2.0 } else { 1.0 };
            let values = tensor.to_f32().iter().map(|value| times * value).collect();
            let tensor = flora_core::HostTensor::from_f32(tensor.shape(), values).unwrap();
            longer.insert(name, tensor).unwrap();
        }
        longer
    });
    assert_ne!(fingerprint(&folder), fingerprint(longer.path()));
    assert_ne!(fingerprint(&folder), open(None).unwrap().fingerprint().unwrap());
}

#[test]
fn an_exported_model_has_all_of_its_adapter() {
    let texts = ["a cat", "two small dogs in the snow"];
    let features = |model: &Model| {
        model.embedder.texts(&texts).unwrap().into_data().try_into_vec::<f32>().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["dora-whole", "bias-all"] {
        let model = open(Some(&fixture("peft").join(name))).unwrap();
        let (before, target) = (features(&model), folder.path().join(name));
        export_merged(model, &target, SaveOptions::from(Dtype::F32)).unwrap();
        let after = features(&Model::open(&target, None, &Device::flex()).unwrap());
        let most = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 1e-5, "{name}: {most}");
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_named_with_its_file() {
    let layer = "text_model.encoder.layers.0.self_attn.q_proj";
    let other_layers = |record: ParameterRecord| {
        let mut moved = ParameterRecord::new();
        for (name, tensor) in record.iter() {
            moved.insert(name.replace("layers.0.", "layers.7."), tensor.clone()).unwrap();
        }
        moved
    };
    let same = |record: ParameterRecord| record;
    let class = "vision_model.embeddings.class_embedding";
    let without_class = |record: ParameterRecord| record.filter(|name| !name.ends_with(class));
    let of_vision = json!({ "base_model_class": "CLIPVisionModel" });
    for (folder, named) in [
        (changed("layers", &[], other_layers), vec![layer, "may be an adapter of another model"]),
        (
            changed("layers", &[("layers_to_transform", json!([0, 1, 2]))], same),
            vec!["text_model.encoder.layers.1.self_attn.", "target_modules matches it"],
        ),
        (
            changed("layers", &[("layers_to_transform", json!(0))], same),
            vec!["text_model.encoder.layers.2.self_attn.", "towers leaves it out"],
        ),
        (changed("whole", &[], without_class), vec![class, "modules_to_save"]),
        (changed("text-model", &[("auto_mapping", of_vision)], same), vec!["vision_model.encoder"]),
    ] {
        let error = open(Some(folder.path())).unwrap_err().to_string();
        let file = folder.path().join("adapter_model.safetensors");
        assert!(error.contains(file.to_str().unwrap()), "{error}");
        assert!(named.iter().all(|part| error.contains(part)), "{named:?}: {error}");
    }
}
