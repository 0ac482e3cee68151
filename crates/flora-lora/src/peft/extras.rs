//! Parameters of an adapter other than `A` and `B`, put into a module: parameters of the base model, biases of `B`, and
//! DoRA's magnitudes ([arXiv 2402.09353](https://arxiv.org/abs/2402.09353)).

use std::collections::BTreeSet;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use flora_core::{HostTensor, ParameterRecord};

use super::tensors::{self, Extras, Part};
use super::{PeftAdapter, files};
use crate::named::{self, Entry};
use crate::text::shortened;
use crate::{AdaptableModule, LoraError, LoraLinear};

/// Puts them into `module`, whose adapters are attached and loaded. A layer with DoRA is merged: its weight becomes `m
/// (W + s A B) / |W + s A B|`, row by row of PyTorch's layout, and it has no adapter any more.
pub(super) fn apply<M: AdaptableModule>(module: M, adapter: &PeftAdapter) -> Result<M, LoraError> {
    let mut module = replace_parameters(module, adapter)?;
    for (name, layer) in module.adaptable_layers() {
        if let Some(bias) = adapter.extras.get(&format!("{name}.lora_B.bias")) {
            add_bias(layer, bias)
                .map_err(|problem| wrong(&format!("{name}.lora_B.bias"), problem))?;
        }
        let magnitude = format!("{name}.lora_magnitude_vector");
        if let Some(lengths) = adapter.extras.get(&magnitude) {
            merge_dora(layer, lengths).map_err(|problem| wrong(&magnitude, problem))?;
        }
    }
    Ok(module)
}

const NO_PAIR: &str = "the layer has no lora_A and lora_B";

fn wrong(name: &str, problem: String) -> LoraError {
    LoraError::Tensor { name: format!("{}{}", files::PREFIX, shortened(name)), problem }
}

/// Replaces modules that were saved as a whole, and biases of the base model.
fn replace_parameters<M: AdaptableModule>(
    module: M,
    PeftAdapter { config, extras, modules_to_save, .. }: &PeftAdapter,
) -> Result<M, LoraError> {
    let parameters = |name: &&str| matches!(tensors::part(name), Part::Parameter(_));
    let mut unused: BTreeSet<&str> = extras.names().filter(parameters).collect();
    let whole = Extras { saved: modules_to_save.clone(), ..Extras::default() };
    let mut problem = Ok(());
    // Before anything is changed: a lazy parameter is initialised by its first reader.
    named::visit(&module, |place, parameter| {
        let (Some(entry), Ok(())) = (Entry::pytorch(place), &problem) else { return };
        let Some(tensor) = extras.get(&entry.name) else {
            if whole.is_saved(&entry.name) && config.towers.contain_parameter(&entry.name) {
                let why = "missing, although its module is in modules_to_save";
                problem = Err(wrong(&entry.name, why.to_owned()));
            }
            return;
        };
        unused.remove(entry.name.as_str());
        let shape = entry.shape(parameter.shape());
        if tensor.shape() != shape {
            let found = tensor.shape();
            let why = format!("shape {found:?}, but the module's is {shape:?}");
            problem = Err(wrong(&entry.name, why));
        }
    });
    problem?;
    if let Some(name) = unused.first() {
        let why = "the module has no such parameter; it may be an adapter of another model";
        return Err(wrong(name, why.to_owned()));
    }
    let saved = subset(extras, parameters)?;
    let entry_of = |place: named::Place<'_>| {
        Entry::pytorch(place).filter(|entry| saved.get(&entry.name).is_some())
    };
    Ok(named::assign(module, entry_of, &saved)?)
}

fn subset(
    record: &ParameterRecord,
    wanted: impl Fn(&&str) -> bool,
) -> Result<ParameterRecord, LoraError> {
    let mut subset = ParameterRecord::new();
    for (name, tensor) in record.iter().filter(|(name, _)| wanted(name)) {
        subset.insert(name, tensor.clone())?;
    }
    Ok(subset)
}

/// `y = x W + b + s ((x A) B + c)`: the base layer's bias becomes `b + s c`.
fn add_bias(layer: &mut LoraLinear, bias: &HostTensor) -> Result<(), String> {
    let [_, outputs] = layer.dims();
    let scale = layer.lora.as_ref().ok_or(NO_PAIR)?.scale;
    let more = vector(layer, bias, outputs)?.mul_scalar(scale);
    layer.bias = Some(match layer.bias.take() {
        Some(own) => own.map(|own| (own.detach() + more).set_require_grad(false)),
        None => Param::from_tensor(more).set_require_grad(false),
    });
    Ok(())
}

fn merge_dora(layer: &mut LoraLinear, lengths: &HostTensor) -> Result<(), String> {
    let [_, outputs] = layer.dims();
    let lengths = vector(layer, lengths, outputs)?.unsqueeze::<2>();
    let lora = layer.lora.take().ok_or(NO_PAIR)?;
    let moved = layer.weight.val().detach() + lora.delta().detach();
    // PyTorch stores an output's weights in a row, burn in a column.
    let norms = moved.clone().powi_scalar(2).sum_dim(0).sqrt();
    if norms.clone().min().into_scalar::<f32>() <= 0.0 {
        layer.lora = Some(lora);
        return Err("one of the layer's outputs has no weights, and DoRA divides by their length"
            .to_owned());
    }
    let merged = moved * (lengths / norms);
    layer.weight = layer.weight.clone().map(|_| merged.set_require_grad(false));
    Ok(())
}

/// A vector on the layer's device, `[outputs]`.
fn vector(layer: &LoraLinear, tensor: &HostTensor, outputs: usize) -> Result<Tensor<1>, String> {
    if tensor.shape() != [outputs] {
        return Err(format!("shape {:?}, but the layer has {outputs} outputs", tensor.shape()));
    }
    let data = TensorData::new(tensor.to_f32().into_owned(), [outputs]);
    Ok(Tensor::from_data(data, &layer.weight.lazy_device()))
}
