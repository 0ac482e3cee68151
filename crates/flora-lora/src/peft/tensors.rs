//! `adapter_model.safetensors`: names and shapes of a plain LoRA adapter.

use std::collections::BTreeMap;
use std::path::Path;

use flora_core::{HostTensor, ParameterRecord, RecordError, TensorFile};

use super::files::{self, PREFIX};
use crate::LoraError;
use crate::layers::LayerConfigs;
use crate::text::shortened;

/// More than an adapter of any model takes that fits a machine.
const MOST_BYTES: u64 = 8 << 30;

/// Read the tensors as f32, under their names without [`PREFIX`].
pub(super) fn read(path: &Path, layers: &LayerConfigs) -> Result<ParameterRecord, LoraError> {
    let refuse = |problem| LoraError::AdapterFile { path: path.display().to_string(), problem };
    files::check(path, MOST_BYTES)?;
    let file = TensorFile::open(path)?;
    let shapes = file.names().map(|name| (name, file.shape(name).unwrap_or_default()));
    check(PREFIX, shapes, layers).map_err(|error| refuse(error.to_string()))?;

    let in_file = |error| RecordError::File { path: path.to_owned(), source: Box::new(error) };
    let mut record = ParameterRecord::new();
    for name in file.names() {
        let tensor = file.read(name).map_err(|error| match error {
            read @ RecordError::Read { .. } => read,
            other => in_file(other),
        })?;
        let shape = tensor.shape().to_vec();
        let tensor = HostTensor::from_f32(shape, tensor.into_f32())?;
        record.insert(name.strip_prefix(PREFIX).unwrap_or(name), tensor)?;
    }
    record.check_finite().map_err(in_file)?;
    Ok(record)
}

/// Check that these are the tensors of adapters of the right ranks, `A` and `B` for each layer, with
/// `prefix` in front of each name.
pub(super) fn check<'a>(
    prefix: &str,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    config: &LayerConfigs,
) -> Result<(), LoraError> {
    let wrong =
        |name: &str, problem: String| Err(LoraError::Tensor { name: shortened(name), problem });
    // Which of A and B are there.
    let mut layers: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    for (name, shape) in tensors {
        let Some(stripped) = name.strip_prefix(prefix) else {
            return wrong(name, format!("its name should begin with `{prefix}`"));
        };
        let (layer, axis) = match split(stripped) {
            Some(parts) => parts,
            None => return wrong(name, stranger(stripped).into()),
        };
        if shape.len() != 2 {
            return wrong(
                name,
                format!(
                    "shape {shape:?}: only linear layers, whose A and B have two axes, can be adapted"
                ),
            );
        }
        let r = config.rank(layer)?;
        if shape[axis] != r {
            return wrong(
                name,
                format!("shape {shape:?} is of rank {}, but r is {r}", shape[axis]),
            );
        }
        layers.entry(layer).or_default()[axis] = true;
    }
    if layers.is_empty() {
        let name = format!("{prefix}<layer>.lora_A.weight");
        return wrong(&name, "there is none like this: the adapter is empty".into());
    }
    for (layer, there) in layers {
        for (matrix, other, there) in [("A", "B", there[0]), ("B", "A", there[1])] {
            if !there {
                let name = format!("{prefix}{layer}.lora_{matrix}.weight");
                return wrong(&name, format!("missing, although there is its lora_{other}"));
            }
        }
    }
    Ok(())
}

/// The layer of a tensor's name, and the axis of its rank: `A` is `[r, in]`, `B` `[out, r]`.
pub(super) fn split(name: &str) -> Option<(&str, usize)> {
    let a = name.strip_suffix(".lora_A.weight").map(|layer| (layer, 0));
    let b = || name.strip_suffix(".lora_B.weight").map(|layer| (layer, 1));
    a.or_else(b).filter(|(layer, _)| !layer.is_empty())
}

/// What a tensor of another name is.
fn stranger(name: &str) -> &'static str {
    if name.contains("lora_embedding_") {
        "adapters of embeddings cannot be loaded, only those of linear layers"
    } else if name.contains("lora_magnitude_vector") {
        "it belongs to DoRA, which cannot be loaded"
    } else if name.ends_with(".lora_A.bias") || name.ends_with(".lora_B.bias") {
        "adapters with biases (lora_bias) cannot be loaded"
    } else {
        "its name is not that of a LoRA matrix, `<layer>.lora_A.weight` or `<layer>.lora_B.weight`"
    }
}
