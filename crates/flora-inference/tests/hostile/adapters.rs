//! Adapters on a good checkpoint.

use flora_core::{HostTensor, ParameterRecord};

use crate::cases::{Case, Change, bytes, fixture, text};

const CONFIG: &str = "adapter/adapter_config.json";
const WEIGHTS: &str = "adapter/adapter_model.safetensors";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = configurations();
    cases.extend(weights());
    cases
}

fn case(name: &str, named: &'static [&'static str]) -> Case {
    Case::new(format!("adapter: {name}"), "tiny-clip", named).adapter()
}

fn configurations() -> Vec<Case> {
    let mut whole: serde_json::Value =
        serde_json::from_str(&text("tiny-clip-lora/adapter_config.json")).unwrap();
    let mut with = |key: &'static str, value: serde_json::Value| {
        let kept = whole[key].clone();
        whole[key] = value;
        let text = whole.to_string();
        whole[key] = kept;
        text
    };
    let mut cases = Vec::new();
    for (key, value) in [
        ("use_dora", serde_json::json!(true)),
        ("bias", serde_json::json!("all")),
        ("rank_pattern", serde_json::json!({ "q_proj": 0 })),
        ("modules_to_save", serde_json::json!(["classifier"])),
        ("layers_to_transform", serde_json::json!([0])),
        ("init_lora_weights", serde_json::json!("pissa")),
        ("r", serde_json::json!(0)),
        ("r", serde_json::json!(1e9 as u64)),
        ("lora_alpha", serde_json::json!("much")),
        ("lora_dropout", serde_json::json!(2)),
        ("target_modules", serde_json::json!("(")),
        ("target_modules", serde_json::json!("(.*.*.*.*.*)*x")),
        ("target_modules", serde_json::json!(["nothing"])),
        ("peft_type", serde_json::json!("IA3")),
        ("a_future_option", serde_json::json!(true)),
    ] {
        let name = format!("{key} = {value}");
        let case = case(&name, &["adapter"]);
        cases.push(case.file(CONFIG, with(key, value)));
    }
    cases.push(
        case("a configuration of brackets", &["adapter_config.json"])
            .file(CONFIG, "[".repeat(100_000)),
    );
    cases.push(case("no configuration", &["adapter_config.json"]).change(CONFIG, Change::Missing));
    cases
}

fn weights() -> Vec<Case> {
    let record =
        ParameterRecord::load(fixture("tiny-clip-lora/adapter_model.safetensors")).unwrap();
    let (first, tensor) = record.iter().next().map(|(n, t)| (n.to_owned(), t.clone())).unwrap();
    let with = |name: &str, tensor: Option<HostTensor>| {
        let mut changed = ParameterRecord::new();
        for (other, kept) in record.iter().filter(|(other, _)| *other != first) {
            changed.insert(other, kept.clone()).unwrap();
        }
        if let Some(tensor) = tensor {
            changed.insert(name, tensor).unwrap();
        }
        changed.to_safetensors()
    };
    let shape = tensor.shape().to_vec();
    let filled = |shape: &[usize], value: f32| {
        HostTensor::from_f32(shape, vec![value; shape.iter().product()]).unwrap()
    };
    let whole = bytes("tiny-clip-lora/adapter_model.safetensors");
    let elsewhere = first.replace("layers.0", "layers.9");
    vec![
        case("cut", &["adapter_model.safetensors"]).file(WEIGHTS, &whole[..whole.len() / 2]),
        case("empty", &["adapter_model.safetensors"]).file(WEIGHTS, ""),
        case("gone", &["adapter_model.safetensors"]).change(WEIGHTS, Change::Missing),
        case("a matrix is missing", &["lora_"]).file(WEIGHTS, with(&first, None)),
        case("NaN", &["lora_", "NaN"]).file(WEIGHTS, with(&first, Some(filled(&shape, f32::NAN)))),
        case("another rank", &["lora_"])
            .file(WEIGHTS, with(&first, Some(filled(&[7, shape[1]], 0.0)))),
        case("a vector", &["lora_"]).file(WEIGHTS, with(&first, Some(filled(&[shape[1]], 0.0)))),
        case("a layer that is not there", &["lora_"]).file(WEIGHTS, with(&elsewhere, Some(tensor))),
    ]
}
