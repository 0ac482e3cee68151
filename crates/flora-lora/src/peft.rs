//! Adapters in the files of Hugging Face's `peft`.

use std::collections::BTreeMap;
use std::path::Path;

use flora_core::ParameterRecord;
use serde_json::json;

use crate::{Init, LoraConfig, LoraError, Scaling, Towers};

/// Write `record` (from [`adapter_record`](crate::adapter_record)) and its configuration to
/// `folder` (made if it is missing) as `adapter_model.safetensors` and `adapter_config.json`, which
/// `peft.PeftModel.from_pretrained(CLIPModel.from_pretrained(base), folder)` loads.
///
/// PEFT knows no unscaled alpha: [`Scaling::Unscaled`] is written as `lora_alpha * r`, which means
/// the same there. `base_model` is the name or path of the checkpoint, for information.
///
/// # Errors
///
/// What the file system reports, with the file's name.
pub fn save_peft(
    folder: &Path,
    record: &ParameterRecord,
    config: &LoraConfig,
    base_model: &str,
) -> Result<(), LoraError> {
    let failed = |path: &Path, source| LoraError::Io { path: path.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let mut prefixed = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        prefixed.insert(format!("base_model.model.{name}"), tensor.clone())?;
    }
    prefixed.save(folder.join("adapter_model.safetensors"))?;

    let lora_alpha = match config.scaling {
        Scaling::Unscaled => config.lora_alpha * config.r as f64,
        Scaling::Standard | Scaling::RsLora => config.lora_alpha,
    };
    let init = match config.init {
        Init::KaimingUniform => json!(true),
        Init::Gaussian | Init::GaussianSqrt => json!("gaussian"),
    };
    let document: BTreeMap<&str, serde_json::Value> = [
        ("peft_type", json!("LORA")),
        ("task_type", json!(null)),
        ("base_model_name_or_path", json!(base_model)),
        ("inference_mode", json!(true)),
        ("r", json!(config.r)),
        ("lora_alpha", json!(lora_alpha)),
        ("lora_dropout", json!(config.dropout)),
        ("use_rslora", json!(config.scaling == Scaling::RsLora)),
        ("target_modules", json!(target_regex(config))),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("init_lora_weights", init),
    ]
    .into();
    let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
    let path = folder.join("adapter_config.json");
    flora_core::files::write_atomic(&path, text.as_bytes()).map_err(|source| failed(&path, source))
}

/// PEFT matches a string with `re.fullmatch`: the towers become part of the expression.
fn target_regex(config: &LoraConfig) -> String {
    let tower = match config.towers {
        Towers::Text => "(?=text_)",
        Towers::Vision => "(?=visi|visual_)",
        Towers::Both => "",
    };
    let targets: Vec<String> = config.target_modules.iter().map(|target| escape(target)).collect();
    format!(r"{tower}(.*\.)?({})", targets.join("|"))
}

/// `text` as an expression that matches only itself.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '_' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
