use std::collections::BTreeMap;
use std::path::Path;

use flora_core::ParameterRecord;
use serde_json::{Value, json};

use super::files::{CONFIG_FILE, PREFIX, TENSOR_FILE};
use super::tensors::{self, Extras};
use crate::layers::LayerConfigs;
use crate::pattern::{enclose, escape};
use crate::{Init, LoraConfig, LoraError, Scaling, TargetModules, Towers};

/// Writes `record` (from [`adapter_record`](crate::adapter_record)) and its configuration to `folder`, which is created
/// if it is missing, as `adapter_model.safetensors` and `adapter_config.json`.
/// `peft.PeftModel.from_pretrained(CLIPModel.from_pretrained(base), folder)` and [`load_peft`](crate::load_peft) load
/// them.
///
/// `rank_pattern` and `alpha_pattern` are written for each layer by its full name.
///
/// PEFT cannot represent three things, which are replaced by equivalents: an unscaled alpha ([`Scaling::Unscaled`]) by
/// the standard one with `lora_alpha * r`; a tower by a part of `target_modules`, which becomes a regular expression;
/// and [`Init::GaussianSqrt`], which only matters for new adapters, by `"gaussian"`.
///
/// `base_model` is the name or path of the checkpoint, for information; it may be empty.
///
/// # Errors
///
/// Data that could not be loaded again: a value of `config` that is out of range, or a tensor that does not belong to
/// an adapter of its rank. Also I/O errors, with the file's name.
pub fn save_peft(
    folder: &Path,
    record: &ParameterRecord,
    config: &LoraConfig,
    base_model: &str,
) -> Result<(), LoraError> {
    config.check()?;
    let layers = LayerConfigs::new(config)?;
    let shapes = record.iter().map(|(name, tensor)| (name, tensor.shape()));
    tensors::check("", shapes, &layers, &Extras::default())?;
    let failed = |path: &Path, source| LoraError::Io { path: path.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let mut prefixed = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        prefixed.insert(format!("{PREFIX}{name}"), tensor.clone())?;
    }
    prefixed.save(folder.join(TENSOR_FILE))?;

    let mut document = document(config, base_model);
    if !(config.rank_pattern.is_empty() && config.alpha_pattern.is_empty()) {
        document.extend(patterns(record, config, &layers)?);
    }
    let text = serde_json::to_string_pretty(&document).expect("plain JSON");
    let path = folder.join(CONFIG_FILE);
    flora_core::files::write_atomic(&path, (text + "\n").as_bytes())
        .map_err(|source| failed(&path, source))
}

fn document(config: &LoraConfig, base_model: &str) -> BTreeMap<&'static str, Value> {
    let init = match config.init {
        Init::KaimingUniform => json!(true),
        Init::Gaussian | Init::GaussianSqrt => json!("gaussian"),
    };
    let mut fields: BTreeMap<_, _> = [
        ("peft_type", json!("LORA")),
        ("task_type", json!(null)),
        ("base_model_name_or_path", json!(Some(base_model).filter(|name| !name.is_empty()))),
        ("inference_mode", json!(true)),
        ("r", json!(config.r)),
        ("lora_alpha", whole(peft_alpha(config))),
        ("lora_dropout", json!(config.lora_dropout)),
        ("use_rslora", json!(config.scaling == Scaling::RsLora)),
        ("target_modules", target_modules(&config.target_modules, config.towers)),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("init_lora_weights", init),
    ]
    .into();
    // Unknown to older versions of PEFT, which accept no unknown field.
    if let Some(exclude) = &config.exclude_modules {
        fields.insert("exclude_modules", json!(exclude));
    }
    fields
}

/// `lora_alpha` in PEFT's convention, which divides it by the rank or its root.
fn peft_alpha(config: &LoraConfig) -> f64 {
    match config.scaling {
        Scaling::Unscaled => config.lora_alpha * config.r as f64,
        Scaling::Standard | Scaling::RsLora => config.lora_alpha,
    }
}

/// The ranks and alphas of single layers, by their full names: an unscaled alpha depends on both patterns, and full
/// names are unique.
fn patterns(
    record: &ParameterRecord,
    config: &LoraConfig,
    layers: &LayerConfigs,
) -> Result<[(&'static str, Value); 2], LoraError> {
    let (mut ranks, mut alphas) = (BTreeMap::new(), BTreeMap::new());
    for (layer, _) in record.names().filter_map(tensors::split) {
        let of_layer = layers.of(layer)?;
        if of_layer.r != config.r {
            ranks.insert(escape(layer), of_layer.r);
        }
        if peft_alpha(&of_layer) != peft_alpha(config) {
            alphas.insert(escape(layer), whole(peft_alpha(&of_layer)));
        }
    }
    Ok([("rank_pattern", json!(ranks)), ("alpha_pattern", json!(alphas))])
}

/// PEFT declares `lora_alpha` as an integer but accepts any number; other readers may not.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

/// PEFT matches a string with `re.fullmatch`: the towers become part of the expression.
fn target_modules(targets: &TargetModules, towers: Towers) -> Value {
    let tower = match towers {
        Towers::Text => "(?=text_)",
        Towers::Vision => "(?=visi|visual_)",
        Towers::Both => return json!(targets),
    };
    json!(match targets {
        TargetModules::List(names) => {
            // An empty name selects no layer, but as an expression it would.
            let names = names.iter().filter(|name| !name.is_empty());
            let names: Vec<String> = names.map(|name| escape(name)).collect();
            format!(r"{tower}(.*\.)?({})", names.join("|"))
        }
        TargetModules::Pattern(pattern) => enclose(tower, pattern, ""),
    })
}
