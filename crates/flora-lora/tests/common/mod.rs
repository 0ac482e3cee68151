//! A module of two adaptable layers. Every test binary compiles its own copy and uses a part of it.
#![allow(dead_code)]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{AdaptableModule, LoraConfig, LoraLinear, Towers};

pub(crate) const INPUTS: usize = 6;
pub(crate) const HIDDEN: usize = 5;
pub(crate) const OUTPUTS: usize = 4;

/// `second(tanh(first(x)))`.
#[derive(Module, Debug)]
pub(crate) struct Two {
    pub(crate) first: LoraLinear,
    pub(crate) second: LoraLinear,
}

impl Two {
    pub(crate) fn new(device: &Device) -> Self {
        Self {
            first: linear(INPUTS, HIDDEN, true, device),
            second: linear(HIDDEN, OUTPUTS, false, device),
        }
    }

    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.second.forward(activation::tanh(self.first.forward(x)))
    }
}

impl AdaptableModule for Two {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![("first".into(), &mut self.first), ("second".into(), &mut self.second)]
    }
}

/// Irregular numbers in (-1, 1).
pub(crate) fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + salt * 101 + 11) as f32 * 0.618).sin()).collect()
}

fn linear(input: usize, output: usize, bias: bool, device: &Device) -> LoraLinear {
    let weight = TensorData::new(numbers(input * output, input), [input, output]);
    let bias =
        bias.then(|| Param::from_data(TensorData::new(numbers(output, 3), [output]), device));
    LoraLinear::of(Param::from_data(weight, device), bias)
}

pub(crate) fn inputs(device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers(7 * INPUTS, 1), [7, INPUTS]), device)
}

pub(crate) fn config() -> LoraConfig {
    LoraConfig {
        r: 2,
        target_modules: ["first", "second"].into(),
        towers: Towers::Both,
        ..LoraConfig::default()
    }
}

/// Adapters whose `B` is away from zero, for [`config`].
pub(crate) fn trained() -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (salt, (name, shape)) in shapes().into_iter().enumerate() {
        let values = numbers(shape[0] * shape[1], salt + 5).iter().map(|x| 0.1 * x).collect();
        record.insert(name, HostTensor::from_f32(shape, values).unwrap()).unwrap();
    }
    record
}

/// PEFT's names and shapes of the adapters for [`config`].
pub(crate) fn shapes() -> [(&'static str, [usize; 2]); 4] {
    [
        ("first.lora_A.weight", [2, INPUTS]),
        ("first.lora_B.weight", [HIDDEN, 2]),
        ("second.lora_A.weight", [2, HIDDEN]),
        ("second.lora_B.weight", [OUTPUTS, 2]),
    ]
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Bits distinguish `-0.0` from `0.0` and accept no tolerance.
pub(crate) fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

pub(crate) fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // `f32::max` would swallow a NaN.
    differences.fold(0.0, |most, x| if x.is_nan() || x > most { x } else { most })
}
