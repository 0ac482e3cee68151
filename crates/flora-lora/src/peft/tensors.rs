//! `adapter_model.safetensors`: names and shapes of the tensors of a LoRA adapter.

use std::collections::BTreeMap;
use std::path::Path;

use flora_core::{HostTensor, ParameterRecord, RecordError, TensorFile};

use super::files::{self, PREFIX};
use crate::LoraError;
use crate::layers::LayerConfigs;
use crate::text::shortened;

/// More than any adapter takes that fits a machine.
const MOST_BYTES: u64 = 8 << 30;

/// The expected parameters besides `A` and `B`, by the configuration.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// DoRA: a magnitude for each output.
    pub(super) dora: bool,
    /// A bias beside `B`.
    pub(super) lora_bias: bool,
    /// Other biases of all layers of the base model.
    pub(super) all_biases: bool,
    /// Other biases of the adapted layers.
    pub(super) adapted_biases: bool,
    /// Modules that are saved as a whole, by the ends of their names.
    pub(super) saved: Vec<String>,
}

/// The role of a tensor, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// `A` (0) or `B` (1) of a layer, by the axis of its rank: `A` is `[r, in]`, `B` `[out, r]`.
    Matrix(&'a str, usize),
    /// DoRA's magnitudes of a layer, `[out]`.
    Magnitude(&'a str),
    /// The bias of a layer's `B`, `[out]`.
    Bias(&'a str),
    /// A parameter of the base model.
    Parameter(&'a str),
}

/// The role of a tensor with this name, without PEFT's prefix.
pub(super) fn part(name: &str) -> Part<'_> {
    let layer = |end| name.strip_suffix(end).filter(|layer| !layer.is_empty());
    if let Some((layer, axis)) = split(name) {
        Part::Matrix(layer, axis)
    } else if let Some(layer) =
        layer(".lora_magnitude_vector").or_else(|| layer(".lora_magnitude_vector.weight"))
    {
        Part::Magnitude(layer)
    } else if let Some(layer) = layer(".lora_B.bias") {
        Part::Bias(layer)
    } else {
        Part::Parameter(name)
    }
}

/// The layer of a matrix, and the axis of its rank.
pub(super) fn split(name: &str) -> Option<(&str, usize)> {
    let a = name.strip_suffix(".lora_A.weight").map(|layer| (layer, 0));
    let b = || name.strip_suffix(".lora_B.weight").map(|layer| (layer, 1));
    a.or_else(b).filter(|(layer, _)| !layer.is_empty())
}

/// Reads the tensors as f32, without [`PREFIX`]: the matrices, and the other parameters. A magnitude vector of DoRA is
/// called `….lora_magnitude_vector` there, and a parameter has its name in the base model.
pub(super) fn read(
    path: &Path,
    layers: &LayerConfigs,
    extras: &Extras,
) -> Result<(ParameterRecord, ParameterRecord), LoraError> {
    let refuse = |problem| LoraError::AdapterFile { path: path.display().to_string(), problem };
    files::check(path, MOST_BYTES)?;
    let file = TensorFile::open(path)?;
    let wanted: Vec<&str> = file.names().filter(|name| !is_copy(name, &file)).collect();
    let shapes = wanted.iter().map(|&name| (name, file.shape(name).unwrap_or_default()));
    check(PREFIX, shapes, layers, extras).map_err(|error| refuse(error.to_string()))?;

    let in_file = |error| RecordError::File { path: path.to_owned(), source: Box::new(error) };
    let (mut matrices, mut others) = (ParameterRecord::new(), ParameterRecord::new());
    for name in wanted {
        let stripped = name.strip_prefix(PREFIX).unwrap_or(name);
        // A buffer of the positions 0, 1, 2, …, which older versions saved with an embedding.
        if stripped.ends_with(".position_ids") {
            continue;
        }
        let tensor = file.read(name).map_err(|error| match error {
            read @ RecordError::Read { .. } => read,
            other => in_file(other),
        })?;
        let shape = tensor.shape().to_vec();
        let tensor = HostTensor::from_f32(shape, tensor.into_f32())?;
        match part(stripped) {
            Part::Matrix(..) => matrices.insert(stripped, tensor)?,
            Part::Magnitude(layer) => {
                others.insert(format!("{layer}.lora_magnitude_vector"), tensor)?;
            }
            Part::Bias(_) => others.insert(stripped, tensor)?,
            Part::Parameter(name) => others.insert(name.replace(".base_layer.", "."), tensor)?,
        }
    }
    matrices.check_finite().map_err(in_file)?;
    others.check_finite().map_err(in_file)?;
    Ok((matrices, others))
}

/// Whether a tensor is a copy that PEFT adds with `bias = "all"` to a module in `modules_to_save`, which it saves under
/// its own name already: the same value again, and the value before training.
fn is_copy(name: &str, file: &TensorFile) -> bool {
    [".modules_to_save.", ".original_module."].iter().any(|inner| {
        let own = name.replacen(inner, ".", 1);
        own != name && file.shape(&own).is_some()
    })
}

/// The tensors of one layer.
#[derive(Default)]
struct Layer<'a> {
    /// Whether `A` and `B` are present.
    matrices: [bool; 2],
    /// The number of outputs of `B`.
    outputs: Option<usize>,
    /// DoRA's magnitudes and the bias of `B`, by name and shape.
    vectors: [Option<(&'a str, &'a [usize])>; 2],
}

/// Checks that these are the tensors of adapters with the right ranks, `A` and `B` for each layer, with `prefix` in
/// front of each name, and the parameters that `extras` requires.
pub(super) fn check<'a>(
    prefix: &str,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    config: &LayerConfigs,
    extras: &Extras,
) -> Result<(), LoraError> {
    let wrong =
        |name: &str, problem: String| Err(LoraError::Tensor { name: shortened(name), problem });
    let mut layers: BTreeMap<&str, Layer<'_>> = BTreeMap::new();
    let mut biases = Vec::new();
    let mut parameters = Vec::new();
    for (name, shape) in tensors {
        let Some(stripped) = name.strip_prefix(prefix) else {
            return wrong(name, format!("its name should begin with `{prefix}`"));
        };
        match part(stripped) {
            Part::Matrix(layer, axis) => {
                if shape.len() != 2 {
                    return wrong(
                        name,
                        format!(
                            "shape {shape:?}: only linear layers, whose A and B have two axes, can \
                             be adapted"
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
                let entry = layers.entry(layer).or_default();
                entry.matrices[axis] = true;
                if axis == 1 {
                    entry.outputs = Some(shape[0]);
                }
            }
            Part::Magnitude(layer) if extras.dora => {
                layers.entry(layer).or_default().vectors[0] = Some((name, shape));
            }
            Part::Bias(layer) if extras.lora_bias => {
                layers.entry(layer).or_default().vectors[1] = Some((name, shape));
            }
            Part::Parameter(parameter) if extras.may_hold(parameter) => {
                let adapted = parameter.strip_suffix(".base_layer.bias");
                biases.extend(adapted.map(|layer| (name, layer)));
                parameters.push(parameter);
            }
            _ => return wrong(name, stranger(stripped).into()),
        }
    }
    if !layers.values().any(|layer| layer.matrices != [false; 2]) {
        let name = format!("{prefix}<layer>.lora_A.weight");
        return wrong(&name, "no such tensor: the adapter is empty".into());
    }
    extras.check_there(&parameters).map_err(|(name, problem)| LoraError::Tensor {
        name: format!("{prefix}{}", shortened(&name)),
        problem,
    })?;
    for (name, layer) in biases {
        if !layers.contains_key(layer) {
            return wrong(name, "the bias of an adapted layer that has no lora_A".into());
        }
    }
    for (layer, there) in layers {
        for (matrix, other, there) in [("A", "B", there.matrices[0]), ("B", "A", there.matrices[1])]
        {
            if !there {
                let name = format!("{prefix}{layer}.lora_{matrix}.weight");
                return wrong(&name, format!("missing, although there is its lora_{other}"));
            }
        }
        for (end, field, wanted, vector) in [
            ("lora_magnitude_vector", "use_dora", extras.dora, there.vectors[0]),
            ("lora_B.bias", "lora_bias", extras.lora_bias, there.vectors[1]),
        ] {
            let outputs = there.outputs.unwrap_or_default();
            match vector {
                None if wanted => {
                    return wrong(
                        &format!("{prefix}{layer}.{end}"),
                        format!("missing, although {field} is true"),
                    );
                }
                Some((name, shape)) if *shape != [outputs] => {
                    return wrong(
                        name,
                        format!("shape {shape:?}, but the layer's lora_B has {outputs} outputs"),
                    );
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl Extras {
    /// Whether a tensor may hold the parameter with this name.
    fn may_hold(&self, name: &str) -> bool {
        let adapted = name.ends_with(".base_layer.bias");
        self.is_saved(name)
            || adapted && self.adapted_biases
            || !adapted && self.all_biases && name.ends_with(".bias") && !name.contains(".lora_")
    }

    /// Checks that all parameters of the configuration are present; the error has a name and a problem.
    fn check_there(&self, parameters: &[&str]) -> Result<(), (String, String)> {
        if (self.all_biases || self.adapted_biases)
            && !parameters.iter().any(|name| name.ends_with(".bias"))
        {
            let problem = "no such tensor, although bias is not \"none\"";
            return Err(("<layer>.bias".into(), problem.into()));
        }
        for end in &self.saved {
            let one = Self { saved: vec![end.clone()], ..Self::default() };
            if !parameters.iter().any(|name| one.is_saved(name)) {
                let problem = "no such tensor, although the module is in modules_to_save; \
                               remove it there if the model has no such module";
                return Err((format!("<…>{end}.weight"), problem.into()));
            }
        }
        Ok(())
    }

    /// Whether a parameter belongs to a module that is saved as a whole. PEFT selects a module whose name ends with
    /// this text (`_set_trainable`).
    pub(super) fn is_saved(&self, name: &str) -> bool {
        let ends = |module: &str| self.saved.iter().any(|end| module.ends_with(end.as_str()));
        !name.contains(".lora_") && name.match_indices('.').any(|(at, _)| ends(&name[..at]))
    }
}

/// A description of a tensor with another name.
fn stranger(name: &str) -> &'static str {
    if name.contains("lora_embedding_") {
        "adapters of embeddings cannot be loaded, only those of linear layers"
    } else if name.contains("lora_magnitude_vector") {
        "it belongs to DoRA, but use_dora is not true"
    } else if name.ends_with(".lora_A.bias") {
        "lora_bias puts a bias beside B alone"
    } else if name.ends_with(".lora_B.bias") {
        "a bias beside B, but lora_bias is not true"
    } else if name.ends_with(".base_layer.bias") {
        "a bias of the base model, but bias is \"none\""
    } else {
        "its name is not that of a LoRA matrix, `<layer>.lora_A.weight` or `<layer>.lora_B.weight`, \
         nor of a module in modules_to_save"
    }
}
