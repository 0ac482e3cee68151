//! The supported fields of `adapter_config.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::fields::{Fields, check_others};
use super::files;
use super::numbered;
use super::refusal::{Refusal, expected, shown};
use super::tensors::Extras;
use crate::{Init, LoraConfig, LoraError, Scaling, TargetModules, Towers};

/// A thousand times the size that `peft` writes.
const MOST_BYTES: u64 = 1 << 20;

/// The content of the file.
pub(super) struct AdapterConfig {
    /// The configuration of the adapters.
    pub(super) lora: LoraConfig,
    /// The other parameters of the adapter.
    pub(super) extras: Extras,
    /// The checkpoint of its training.
    pub(super) base_model: Option<String>,
    /// The tower of its training, if it was trained on one alone.
    pub(super) tower: Option<Towers>,
}

/// Reads the configuration.
pub(super) fn read(path: &Path) -> Result<AdapterConfig, LoraError> {
    let fields: Fields =
        serde_json::from_slice(&bytes(path)?).map_err(|error| LoraError::AdapterFile {
            path: path.display().to_string(),
            problem: format!("not the JSON object that peft writes: {error}"),
        })?;
    parse(&fields).map_err(|Refusal { field, problem }| LoraError::AdapterConfig {
        path: path.display().to_string(),
        field,
        problem,
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, LoraError> {
    let failed = |source| LoraError::Io { path: path.display().to_string(), source };
    files::check(path, MOST_BYTES)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    // The file may grow meanwhile; truncated, it is not valid JSON.
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn parse(fields: &Fields) -> Result<AdapterConfig, Refusal> {
    // First, because other methods have other fields.
    match fields.get("peft_type") {
        Some(Value::String(name)) if name == "LORA" => {}
        Some(other) => {
            let problem = format!("{}; only \"LORA\" can be loaded", shown(other));
            return Err(Refusal::new("peft_type", problem));
        }
        None => return Err(Refusal::new("peft_type", "missing: no configuration of peft")),
    }
    check_others(fields)?;
    let extras = extras(fields)?;
    let config = LoraConfig {
        r: rank(fields)?,
        lora_alpha: number(fields, "lora_alpha")?.ok_or_else(|| missing("lora_alpha"))?,
        scaling: match flag(fields, "use_rslora")? {
            false => Scaling::Standard,
            true => Scaling::RsLora,
        },
        target_modules: numbered::targets(
            fields,
            modules(fields, "target_modules")?.ok_or_else(|| {
                Refusal::new(
                    "target_modules",
                    "missing: PEFT would choose the layers by the kind of the model; name them",
                )
            })?,
        )?,
        // PEFT ignores empty values, too.
        exclude_modules: modules(fields, "exclude_modules")?.filter(|names| !names.is_empty()),
        towers: Towers::Both,
        init: init(fields)?,
        lora_dropout: number(fields, "lora_dropout")?.unwrap_or(0.0),
        rank_pattern: pattern(fields, "rank_pattern", "whole numbers", |rank| {
            usize::try_from(rank.as_u64()?).ok()
        })?,
        alpha_pattern: pattern(fields, "alpha_pattern", "numbers", Value::as_f64)?,
    };
    config.check().map_err(|error| match error {
        LoraError::Config { field: "lora_dropout", problem } => {
            Refusal::new("lora_dropout", problem)
        }
        LoraError::Config { field, problem } => Refusal::new(field, problem),
        other => Refusal::new("LoraConfig", other.to_string()),
    })?;
    let tower = tower(fields)?;
    Ok(AdapterConfig { lora: config, extras, base_model: base_model(fields)?, tower })
}

/// The other parameters of the adapter.
fn extras(fields: &Fields) -> Result<Extras, Refusal> {
    let (dora, lora_bias) = (flag(fields, "use_dora")?, flag(fields, "lora_bias")?);
    if dora && lora_bias {
        return Err(Refusal::new("lora_bias", "PEFT does not combine it with use_dora"));
    }
    let (all_biases, adapted_biases) = match fields.get("bias") {
        None => (false, false),
        Some(Value::String(kind)) if kind == "none" => (false, false),
        Some(Value::String(kind)) if kind == "all" => (true, true),
        Some(Value::String(kind)) if kind == "lora_only" => (false, true),
        Some(other) => {
            return Err(expected("bias", "\"none\", \"all\" or \"lora_only\"", other));
        }
    };
    let saved = match modules(fields, "modules_to_save")? {
        None => Vec::new(),
        Some(TargetModules::List(names)) if names.iter().all(|name| !name.is_empty()) => names,
        Some(_) => {
            let found = fields.get("modules_to_save").unwrap_or(&Value::Null);
            return Err(expected("modules_to_save", "a list of names", found));
        }
    };
    Ok(Extras { dora, lora_bias, all_biases, adapted_biases, saved })
}

/// Classes of `transformers` for one tower of a CLIP.
fn tower(fields: &Fields) -> Result<Option<Towers>, Refusal> {
    let object = match fields.get("auto_mapping") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(object)) => object,
        Some(other) => return Err(expected("auto_mapping", "an object or null", other)),
    };
    Ok(match object.get("base_model_class").and_then(Value::as_str) {
        Some(class) if class.starts_with("CLIPText") => Some(Towers::Text),
        Some(class) if class.starts_with("CLIPVision") => Some(Towers::Vision),
        _ => None,
    })
}

fn flag(fields: &Fields, field: &str) -> Result<bool, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(expected(field, "true or false", other)),
    }
}

fn rank(fields: &Fields) -> Result<usize, Refusal> {
    let value = fields.get("r").ok_or_else(|| missing("r"))?;
    let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok());
    rank.ok_or_else(|| expected("r", "a whole number of 1 or more", value))
}

fn number(fields: &Fields, field: &str) -> Result<Option<f64>, Refusal> {
    match fields.get(field) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| expected(field, "a number", value)),
    }
}

/// Values by the names of layers.
fn pattern<T>(
    fields: &Fields,
    field: &str,
    wanted: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<BTreeMap<String, T>, Refusal> {
    let wrong = |value| expected(field, &format!("an object of {wanted} by layer"), value);
    match fields.get(field) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(object)) => object
            .iter()
            .map(|(key, value)| Ok((key.clone(), read(value).ok_or_else(|| wrong(value))?)))
            .collect(),
        Some(other) => Err(wrong(other)),
    }
}

fn modules(fields: &Fields, field: &str) -> Result<Option<TargetModules>, Refusal> {
    let wrong = |value| Err(expected(field, "a list of names or a regular expression", value));
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(pattern)) => Ok(Some(TargetModules::Pattern(pattern.clone()))),
        Some(list @ Value::Array(names)) => {
            let names: Option<Vec<String>> =
                names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            names.map_or_else(|| wrong(list), |names| Ok(Some(names.into())))
        }
        Some(other) => wrong(other),
    }
}

/// The initialisation of new adapters, for attaching one with this configuration. Some methods also change the base
/// model: their adapters do not fit the original.
fn init(fields: &Fields) -> Result<Init, Refusal> {
    match fields.get("init_lora_weights") {
        None | Some(Value::Null | Value::Bool(_)) => Ok(Init::KaimingUniform),
        Some(Value::String(name)) if name.eq_ignore_ascii_case("gaussian") => Ok(Init::Gaussian),
        // Unknown here, but it does not change the base model.
        Some(Value::String(name)) if name == "orthogonal" => Ok(Init::KaimingUniform),
        Some(other) => Err(Refusal::new(
            "init_lora_weights",
            format!(
                "{} can change the weights of the base model, which the adapter then needs; save it with PEFT's \
                 path_initial_model_for_weight_conversion, or write true here if \
                 the base model was left as it is",
                shown(other)
            ),
        )),
    }
}

fn base_model(fields: &Fields) -> Result<Option<String>, Refusal> {
    match fields.get("base_model_name_or_path") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        Some(other) => Err(expected("base_model_name_or_path", "a name or null", other)),
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::new(field, "missing; PEFT writes it always")
}
