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
    /// What `adapter_config.json` says, and the tower that all tensors are of, if they are of one.
    pub config: LoraConfig,
    /// The tensors as f32, by the names of [`adapter_record`](crate::adapter_record): PEFT's
    /// without `base_model.model.`.
    pub record: ParameterRecord,
    /// What the adapter has besides, in the same names: DoRA's lengths (`….lora_magnitude_vector`), biases of
    /// `B` (`….lora_B.bias`), and parameters of the base model that were trained as a whole
    /// (`visual_projection.weight`).
    pub extras: ParameterRecord,
    /// The modules whose parameters are all among these, by the ends of their names.
    pub modules_to_save: Vec<String>,
    /// The name or path of the checkpoint that the adapter was trained on, if the file tells.
    pub base_model: Option<String>,
}

/// Read an adapter that `PeftModel.save_pretrained` (or [`save_peft`](crate::save_peft)) wrote to
/// `folder`, to be attached by [`attach_peft`](crate::attach_peft).
///
/// Read are LoRA adapters on linear layers: `r`, `lora_alpha`, `rank_pattern`, `alpha_pattern`,
/// `use_rslora`, `lora_dropout`, `target_modules` and `exclude_modules` as lists or regular expressions,
/// `layers_to_transform` and `layers_pattern` (as a part of that expression), values of f32, f16 or bf16;
/// and what [`PeftAdapter::extras`] holds: `use_dora`, `lora_bias`, `modules_to_save` and `bias`.
///
/// PEFT knows no towers: the configuration's [`towers`](LoraConfig::towers) are one where all
/// tensors belong to it, and both otherwise. An adapter of `CLIPTextModelWithProjection` alone, say,
/// then keeps to the text tower of a whole CLIP, although its `target_modules` (`["q_proj"]`) take
/// layers of the vision tower, too. Where `auto_mapping.base_model_class` is a class of one tower whose names do
/// not say so (`CLIPTextModel` of transformers since 5.6), they get the tower's; see
/// [`PeftAdapter::fitted`] for files that do not tell. One tensor's bytes are held beside the values at a
/// time.
///
/// # Errors
///
/// [`LoraError::AdapterConfig`] for a field of `adapter_config.json` with a value that makes no
/// sense, and for every option that changes the adapter and that flora lacks (aLoRA,
/// LoftQ, …). [`LoraError::AdapterFile`] and [`LoraError::Record`] for files that are
/// missing, damaged or too large, and for tensors that are unknown, of another rank or element
/// type, not finite, or half of a pair. All name the file.
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

/// The tower that all layers of the adapter lie in.
fn towers(record: &ParameterRecord) -> Towers {
    let holds_all = |tower: &Towers| {
        record.names().filter_map(tensors::split).all(|(layer, _)| tower.contain(layer))
    };
    [Towers::Text, Towers::Vision].into_iter().find(holds_all).unwrap_or(Towers::Both)
}
