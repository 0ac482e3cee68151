//! Adapters with other ranks than configured, and corrections of the weights below them, with the names of
//! [`flora_core::record::correction`].

use std::collections::{BTreeMap, BTreeSet};

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use flora_core::record::correction::{Correction, is_correction, layer};
use flora_core::{HostTensor, ParameterRecord, RecordError};

use crate::layers::LayerConfigs;
use crate::named::parameter_id;
use crate::pattern::escape;
use crate::{AdaptableModule, LoraConfig, LoraError, LoraLinear, Scaling};

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";
const CORE: &str = ".lora_R.weight";

/// Changes the ranks of the adapters of `module` to those in `record`, with zeros as values, if they differ. Cores
/// ([`LoraAdapter::lora_r`](crate::LoraAdapter::lora_r)) are added where `record` has them. Scales do not depend on the
/// rank. Ranks too large for a layer are ignored, so that [`load_adapter_record`](crate::load_adapter_record) refuses
/// them.
pub fn with_ranks_of<M: AdaptableModule>(mut module: M, record: &ParameterRecord) -> M {
    for (name, layer) in module.adaptable_layers() {
        let [d_input, d_output] = layer.dims();
        let Some(adapter) = &mut layer.lora else { continue };
        let shape = record.get(&format!("{name}{A}")).map(HostTensor::shape);
        let Some(&[rank, _]) = shape else { continue };
        if !(1..=d_input.min(d_output)).contains(&rank) {
            continue;
        }
        let zeros = |old: &Tensor<2>, shape: [usize; 2]| {
            let zeros = Tensor::zeros(shape, &old.device());
            zeros.set_require_grad(old.is_require_grad())
        };
        adapter.lora_r = record.get(&format!("{name}{CORE}")).map(|_| {
            let id = parameter_id(&format!("{name}.lora.lora_r"));
            Param::initialized(id, zeros(&adapter.lora_a.val(), [rank, rank]))
        });
        if rank == adapter.lora_a.lazy_shape()[1] {
            continue;
        }
        adapter.lora_a = adapter.lora_a.clone().map(|old| zeros(&old, [d_input, rank]));
        adapter.lora_b = adapter.lora_b.clone().map(|old| zeros(&old, [rank, d_output]));
    }
    module
}

/// Adds the corrections in `record` to the weights below the adapters of `module`. Other tensors are ignored.
///
/// # Errors
///
/// A correction of a layer without an adapter, or one that does not fit the layer's weight.
pub fn correct<M: AdaptableModule>(
    mut module: M,
    record: &ParameterRecord,
) -> Result<M, RecordError> {
    record.filter(is_correction).check_finite()?;
    let mut adapted = BTreeSet::new();
    for (name, layer) in module.adaptable_layers() {
        let Some(scale) = layer.lora.as_ref().map(|adapter| adapter.scale) else { continue };
        let [d_input, d_output] = layer.dims();
        let update = match Correction::of(record, &name, [d_output, d_input])? {
            Correction::None => None,
            Correction::Factors { left, right } => {
                let (left, right) = (on_device(left, layer), on_device(right, layer));
                Some(right.transpose().matmul(left.transpose()))
            }
            Correction::Dense(dense) => Some(on_device(dense, layer).transpose()),
        };
        if let Some(update) = update {
            add(layer, update.mul_scalar(scale));
        }
        adapted.insert(name);
    }
    let is_stranger = |name: &str| layer(name).is_some_and(|layer| !adapted.contains(layer));
    match record.iter().find(|(name, _)| is_stranger(name)) {
        None => Ok(module),
        Some((name, tensor)) => {
            Err(RecordError::Unexpected { name: name.to_owned(), shape: tensor.shape().to_vec() })
        }
    }
}

fn on_device(tensor: &HostTensor, layer: &LoraLinear) -> Tensor<2> {
    let data = TensorData::new(tensor.to_f32().into_owned(), tensor.shape().to_vec());
    Tensor::from_data(data, &layer.weight.lazy_device())
}

/// Adds to the weight, which stays frozen, and is no longer rounded to 16 bits.
fn add(layer: &mut LoraLinear, update: Tensor<2>) {
    layer.set_half(None);
    let added = |weight: Tensor<2>| (weight.detach() + update).set_require_grad(false);
    layer.weight = layer.weight.clone().map(added);
}

/// A single adapter equivalent to the adapters in `record`, attached by `config`, with their corrections: of a higher
/// rank, with the same scales. If the sum of the ranks exceeds a layer's limit, the rank is that limit, with a unit
/// matrix as one of the two matrices. A core is multiplied into B. Without corrections, adapters with other ranks than
/// `config` keep them, and adapters as configured stay unchanged.
///
/// The configuration gives the ranks and scales of the layers in `rank_pattern` and `alpha_pattern`.
///
/// # Errors
///
/// Inconsistent tensors.
pub fn standalone(
    record: &ParameterRecord,
    config: &LoraConfig,
) -> Result<(ParameterRecord, LoraConfig), LoraError> {
    let layers = LayerConfigs::new(config)?;
    let names: Vec<&str> = record.names().filter_map(|name| name.strip_suffix(A)).collect();
    let mut whole = ParameterRecord::new();
    let mut ranks = Vec::with_capacity(names.len());
    for &layer in &names {
        let (a, b) = factors(record, layer)?;
        ranks.push(a.shape()[0]);
        whole.insert(format!("{layer}{A}"), a)?;
        whole.insert(format!("{layer}{B}"), b)?;
    }
    let is_more = |name: &str| is_correction(name) || name.ends_with(CORE);
    let mut as_configured = !record.names().any(is_more);
    for (layer, &rank) in names.iter().zip(&ranks) {
        as_configured &= layers.rank(layer)? == rank;
    }
    if as_configured {
        return Ok((record.clone(), config.clone()));
    }
    let r = ranks.iter().copied().max().unwrap_or(config.r);
    let lora_alpha = LoraConfig {
        rank_pattern: BTreeMap::new(),
        alpha_pattern: BTreeMap::new(),
        ..config.clone()
    }
    .scale();
    let (mut rank_pattern, mut alpha_pattern) = (BTreeMap::new(), BTreeMap::new());
    for (layer, rank) in names.iter().zip(ranks) {
        let scale = layers.of(layer)?.scale();
        if rank != r {
            rank_pattern.insert(escape(layer), rank);
        }
        if scale != lora_alpha {
            alpha_pattern.insert(escape(layer), scale);
        }
    }
    let scaling = Scaling::Unscaled;
    let config =
        LoraConfig { r, lora_alpha, scaling, rank_pattern, alpha_pattern, ..config.clone() };
    Ok((whole, config))
}

/// A and B of a layer, including its correction.
fn factors(record: &ParameterRecord, layer: &str) -> Result<(HostTensor, HostTensor), LoraError> {
    let find = |end: &str| match record.get(&format!("{layer}{end}")) {
        Some(tensor) if tensor.shape().len() == 2 => Ok(tensor),
        Some(tensor) => Err(misfit(layer, tensor)),
        None => Err(RecordError::Missing { name: format!("{layer}{end}"), shape: vec![] }.into()),
    };
    let (a, b) = (find(A)?, find(B)?);
    let (rank, width, out) = (a.shape()[0], a.shape()[1], b.shape()[0]);
    if b.shape()[1] != rank || rank == 0 {
        return Err(misfit(layer, b));
    }
    let with_core = match record.get(&format!("{layer}{CORE}")) {
        None => None,
        Some(core) if core.shape() == [rank, rank] => {
            Some(HostTensor::from_f32([out, rank], product(core, b, None))?)
        }
        Some(core) => return Err(misfit(layer, core)),
    };
    let b = with_core.as_ref().unwrap_or(b);
    let (left, right) = match Correction::of(record, layer, [out, width])? {
        Correction::None => return Ok((a.clone(), b.clone())),
        Correction::Factors { left, right } => (left, right),
        Correction::Dense(dense) => {
            return Ok(unit_factors(product(a, b, Some(dense)), [out, width])?);
        }
    };
    let n = left.shape()[1];
    if rank + n > out.min(width) {
        let corrections = HostTensor::from_f32([out, width], product(right, left, None))?;
        return Ok(unit_factors(product(a, b, Some(&corrections)), [out, width])?);
    }
    let below = [a.to_f32(), right.to_f32()].concat();
    let (b, left) = (b.to_f32(), left.to_f32());
    let rows = b.chunks(rank).zip(left.chunks(n));
    let beside: Vec<f32> = rows.flat_map(|(own, more)| [own, more].concat()).collect();
    let a = HostTensor::from_f32([rank + n, width], below)?;
    Ok((a, HostTensor::from_f32([out, rank + n], beside)?))
}

fn misfit(layer: &str, tensor: &HostTensor) -> LoraError {
    LoraError::Layer {
        layer: layer.to_owned(),
        problem: format!("a matrix of shape {:?} does not fit its adapter", tensor.shape()),
    }
}

/// `B A`, row-major, plus `more` if given.
fn product(a: &HostTensor, b: &HostTensor, more: Option<&HostTensor>) -> Vec<f32> {
    let (rank, width) = (a.shape()[0], a.shape()[1]);
    let (a, b) = (a.to_f32(), b.to_f32());
    let more = more.map(HostTensor::to_f32);
    let mut product = Vec::with_capacity(b.len() / rank * width);
    for (row, weights) in b.chunks(rank).enumerate() {
        let mut sums = match &more {
            Some(more) => more[row * width..][..width].iter().map(|&it| f64::from(it)).collect(),
            None => vec![0.0_f64; width],
        };
        for (&weight, values) in weights.iter().zip(a.chunks(width)) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += f64::from(weight) * f64::from(value);
            }
        }
        product.extend(sums.into_iter().map(|sum| sum as f32));
    }
    product
}

/// A and B whose product is `dense`.
fn unit_factors(
    dense: Vec<f32>,
    [out, width]: [usize; 2],
) -> Result<(HostTensor, HostTensor), RecordError> {
    let rank = out.min(width);
    let unit = (0..rank * rank).map(|at| if at % (rank + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let unit = HostTensor::from_f32([rank, rank], unit)?;
    let dense = HostTensor::from_f32([out, width], dense)?;
    Ok(if out <= width { (dense, unit) } else { (unit, dense) })
}
