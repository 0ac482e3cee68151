use std::collections::BTreeSet;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::StrategyError;

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// The two LoRA matrices of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The layer, such as `text_model.encoder.layers.0.mlp.fc1`.
    pub layer: String,
    /// The name of the tensor of shape `[rank, width]`: `LAYER.lora_A.weight`.
    pub a: String,
    /// The name of the tensor of shape `[out, rank]`: `LAYER.lora_B.weight`.
    pub b: String,
    /// The adapter's rank.
    pub rank: usize,
    /// The number of outputs of the layer.
    pub out: usize,
    /// The number of inputs of the layer.
    pub width: usize,
}

impl Pair {
    /// The matrices A and B of this layer in another record, which may have another rank.
    pub(crate) fn factors<'a>(
        &self,
        find: impl Fn(&str) -> Option<&'a HostTensor>,
    ) -> Result<Factors<'a>, StrategyError> {
        let of = |name: &str| find(name).ok_or_else(|| wrong(name, "it is missing"));
        let (a, b) = (of(&self.a)?, of(&self.b)?);
        match (a.shape(), b.shape()) {
            (&[rank, width], &[out, columns])
                if rank == columns && rank > 0 && (out, width) == (self.out, self.width) =>
            {
                Ok(Factors { a, b, rank })
            }
            (a, b) => Err(wrong(
                &self.layer,
                &format!(
                    "LoRA factors of shapes {a:?} and {b:?} do not fit {:?} and {:?}",
                    ["rank", &self.width.to_string()],
                    [&self.out.to_string(), "rank"]
                ),
            )),
        }
    }
}

/// The two matrices of a layer in a record.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    /// `[rank, width]`
    pub(crate) a: &'a HostTensor,
    /// `[out, rank]`
    pub(crate) b: &'a HostTensor,
    pub(crate) rank: usize,
}

/// The LoRA pairs of a record, sorted by layer name.
///
/// # Errors
/// The record holds no pair, one matrix of a layer without the other, or matrices that do not fit together.
pub fn pairs(record: &ParameterRecord) -> Result<Vec<Pair>, StrategyError> {
    let layer = |name: &str| name.strip_suffix(A).or(name.strip_suffix(B)).map(str::to_owned);
    let layers: BTreeSet<String> = record.names().filter_map(layer).collect();
    if layers.is_empty() {
        return Err(StrategyError::Other(format!(
            "parameters: there is no LoRA pair `LAYER{A}`, `LAYER{B}`; choose a method that trains LoRA adapters, \
             or a strategy that does not need them"
        )));
    }
    layers.into_iter().map(|layer| pair(record, layer)).collect()
}

/// Whether [`pairs`] succeeds.
pub fn has_pairs(record: &ParameterRecord) -> bool {
    pairs(record).is_ok()
}

/// Whether a tensor belongs to one of the pairs.
pub(crate) fn is_of(pairs: &[Pair], name: &str) -> bool {
    pairs.iter().any(|pair| pair.a == name || pair.b == name)
}

fn pair(record: &ParameterRecord, layer: String) -> Result<Pair, StrategyError> {
    let (a, b) = (format!("{layer}{A}"), format!("{layer}{B}"));
    let shape = |name: &str| match record.get(name).map(HostTensor::shape) {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok((rows, columns)),
        Some(shape) => Err(wrong(name, &format!("its shape {shape:?} is not that of a matrix"))),
        None => Err(wrong(name, "it is missing, though the other matrix of its layer is there")),
    };
    let ((rank, width), (out, columns)) = (shape(&a)?, shape(&b)?);
    match rank == columns {
        true => Ok(Pair { layer, a, b, rank, out, width }),
        false => Err(wrong(&layer, &format!("lora_A is of rank {rank}, but lora_B of {columns}"))),
    }
}

fn wrong(name: &str, problem: &str) -> StrategyError {
    StrategyError::Other(format!(
        "{name}: {problem}; share both LoRA matrices of each layer, or choose a strategy that does not need LoRA"
    ))
}
