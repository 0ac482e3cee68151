//! The adapters' parameters as named tensors, with PEFT's names and layout.

use burn::module::Module;
use flora_core::{ParameterRecord, RecordError};

use crate::named::{self, Entry, Place};

/// The adapters of `module` as a record.
///
/// Names are those of PEFT without its `base_model.model.` prefix, such as
/// `text_model.encoder.layers.0.self_attn.out_proj.lora_A.weight` of shape `[r, d_input]` and `….lora_B.weight` of
/// shape `[d_output, r]` (the transposes of the matrices in [`LoraAdapter`]); and `….lora_R.weight`, `[r, r]`, if there
/// is a core, for an update `s B R A`.
///
/// [`LoraAdapter`]: crate::LoraAdapter
///
/// # Errors
///
/// Two layers with one name: the module lists its layers wrongly.
pub fn adapter_record<M: Module>(module: &M) -> Result<ParameterRecord, RecordError> {
    named::collect(module, adapter_entry)
}

/// Writes the values of `record` into the adapters of `module`. Parameter identities do not change, so that an
/// optimizer keeps its state.
///
/// # Errors
///
/// Names or shapes that differ from those of [`adapter_record`] for this module, and values that are not finite.
pub fn load_adapter_record<M: Module>(
    module: M,
    record: &ParameterRecord,
) -> Result<M, RecordError> {
    named::assign(module, adapter_entry, record)
}

/// The number of parameters of the adapters of `module`.
pub fn num_adapter_parameters<M: Module>(module: &M) -> usize {
    named::count(module, adapter_entry)
}

/// The entry of [`adapter_record`] for a parameter, if it belongs to an adapter.
pub fn adapter_entry(Place { name, .. }: Place<'_>) -> Option<Entry> {
    let (adapter, matrix) = name.rsplit_once('.')?;
    let matrix = match matrix {
        "lora_a" => "lora_A",
        "lora_b" => "lora_B",
        "lora_r" => "lora_R",
        _ => return None,
    };
    // The layer's field; a layer on its own has no name.
    let layer = adapter.rsplit_once('.').map_or("", |(layer, _lora_field)| layer);
    Some(Entry { name: format!("{layer}.{matrix}.weight"), transposed: true })
}
