use std::path::Path;

use flora_core::ParameterRecord;

use super::config::AdapterConfig;
use super::files::{CONFIG_FILE, PICKLE_FILE, TENSOR_FILE};
use super::{config, tensors};
use crate::layers::LayerConfigs;
use crate::{LoraConfig, LoraError, Towers};

/// An adapter that `peft` wrote, read by [`load_peft`].
#[derive(Debug, Clone, PartialEq)]
pub struct PeftAdapter {
    /// The content of `adapter_config.json`, and the tower of all tensors, if there is a common one.
    pub config: LoraConfig,
    /// The tensors as f32, with the names of [`adapter_record`](crate::adapter_record): PEFT's without
    /// `base_model.model.`.
    pub record: ParameterRecord,
    /// The other parameters of the adapter, with the same kind of names: DoRA's magnitudes (`….lora_magnitude_vector`),
    /// biases of `B` (`….lora_B.bias`), and parameters of the base model that were trained as a whole
    /// (`visual_projection.weight`).
    pub extras: ParameterRecord,
    /// The modules whose parameters are all among these, by the ends of their names.
    pub modules_to_save: Vec<String>,
    /// The name or path of the checkpoint that the adapter was trained on, if the file has it.
    pub base_model: Option<String>,
}

/// Reads an adapter that `PeftModel.save_pretrained` (or [`save_peft`](crate::save_peft)) wrote to `folder`, for
/// [`attach_peft`](crate::attach_peft).
///
/// LoRA adapters on linear layers are supported: `r`, `lora_alpha`, `rank_pattern`, `alpha_pattern`, `use_rslora`,
/// `lora_dropout`, `target_modules` and `exclude_modules` as lists or regular expressions, `layers_to_transform` and
/// `layers_pattern` (as a part of that expression), values of f32, f16 or bf16; and the parameters in
/// [`PeftAdapter::extras`]: `use_dora`, `lora_bias`, `modules_to_save` and `bias`.
///
/// PEFT has no notion of towers: the configuration's [`towers`](LoraConfig::towers) is one tower if all tensors belong
/// to it, and both otherwise. So an adapter of `CLIPTextModelWithProjection` alone stays in the text tower of a whole
/// CLIP, although its `target_modules` (`["q_proj"]`) match layers of the vision tower, too. If
/// `auto_mapping.base_model_class` is a class of one tower whose names do not include the tower (`CLIPTextModel` of
/// transformers since 5.6), the tower's prefix is added; see [`PeftAdapter::fitted`] for files without this field.
/// Apart from the values, the bytes of at most one tensor are in memory at a time.
///
/// # Errors
///
/// [`LoraError::AdapterConfig`] for a field of `adapter_config.json` with an invalid value, and for every option that
/// changes the adapter and that flora does not support (aLoRA, LoftQ, …). [`LoraError::AdapterFile`] and
/// [`LoraError::Record`] for files that are missing, damaged or too large, and for tensors that are unknown, of another
/// rank or element type, not finite, or without their counterpart. All name the file.
pub fn load_peft(folder: &Path) -> Result<PeftAdapter, LoraError> {
    let refuse = |path: &Path, problem: &str| LoraError::AdapterFile {
        path: path.display().to_string(),
        problem: problem.to_owned(),
    };
    if !folder.is_dir() {
        let problem = "not a folder; give the one that holds adapter_config.json and \
                       adapter_model.safetensors";
        return Err(refuse(folder, problem));
    }
    let AdapterConfig { lora: mut config, extras: wanted, base_model, tower } =
        config::read(&folder.join(CONFIG_FILE))?;
    let path = folder.join(TENSOR_FILE);
    let pickle = folder.join(PICKLE_FILE);
    if !path.exists() && pickle.exists() {
        let problem = "adapters are not read from pickles; load it with peft and save it again \
                       with save_pretrained(..., safe_serialization=True)";
        return Err(refuse(&pickle, problem));
    }
    let (record, extras) = tensors::read(&path, &LayerConfigs::new(&config)?, &wanted)?;
    config.towers = towers(&record);
    let modules_to_save = wanted.saved;
    let adapter = PeftAdapter { config, record, extras, modules_to_save, base_model };
    match tower {
        Some(tower) if adapter.names_no_tower() => Ok(adapter.below(tower)?),
        _ => Ok(adapter),
    }
}

/// The tower that contains all layers of the adapter.
fn towers(record: &ParameterRecord) -> Towers {
    let holds_all = |tower: &Towers| {
        record.names().filter_map(tensors::split).all(|(layer, _)| tower.contain(layer))
    };
    [Towers::Text, Towers::Vision].into_iter().find(holds_all).unwrap_or(Towers::Both)
}
