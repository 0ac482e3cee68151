//! The adapters alone, as named tensors in PEFT's names and layout.

use burn::module::Module;
use flora_core::{ParameterRecord, RecordError};

use crate::named::{self, Entry, Place};

/// The adapters of `module` as a record.
///
/// Names are those of PEFT without its `base_model.model.` prefix, such as
/// `text_model.encoder.layers.0.self_attn.out_proj.lora_A.weight` of shape `[r, d_input]` and
/// `….lora_B.weight` of shape `[d_output, r]` (the transposes of what [`LoraAdapter`] holds); and `….lora_R.weight`, `[r, r]`,
/// where there is a core, for an update `s B R A`.
///
/// [`LoraAdapter`]: crate::LoraAdapter
///
/// # Errors
///
/// Two layers of one name: the module lists its layers wrongly.
pub fn adapter_record<M: Module>(module: &M) -> Result<ParameterRecord, RecordError> {
    named::collect(module, adapter_entry)
}

/// Put the values of `record` into the adapters of `module`. Parameter identities stay, so that an
/// optimizer keeps its state.
///
/// # Errors
///
/// Names or shapes that are not exactly those of [`adapter_record`] for this module, and values
/// that are not finite.
pub fn load_adapter_record<M: Module>(
    module: M,
    record: &ParameterRecord,
) -> Result<M, RecordError> {
    named::assign(module, adapter_entry, record)
}

/// How many numbers the adapters of `module` hold.
pub fn num_adapter_parameters<M: Module>(module: &M) -> usize {
    named::count(module, adapter_entry)
}

/// What [`adapter_record`] calls a parameter, if it belongs to an adapter.
pub fn adapter_entry(Place { name, .. }: Place<'_>) -> Option<Entry> {
    let (adapter, matrix) = name.rsplit_once('.')?;
    let matrix = match matrix {
        "lora_a" => "lora_A",
        "lora_b" => "lora_B",
        "lora_r" => "lora_R",
        _ => return None,
    };
    // The layer's field; a layer that stands alone has no name of its own.
    let layer = adapter.rsplit_once('.').map_or("", |(layer, _lora_field)| layer);
    Some(Entry { name: format!("{layer}.{matrix}.weight"), transposed: true })
}
