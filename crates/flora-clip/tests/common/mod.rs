//! Reading the fixtures. Every test binary compiles its own copy and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

/// The id that the fixtures' texts end with and are padded with.
pub(crate) const END: u32 = 1023;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A safetensors file of expected values.
pub(crate) struct Expected(Vec<u8>);

impl Expected {
    pub(crate) fn read(name: &str) -> Self {
        Self(std::fs::read(fixture(name)).unwrap())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let mut names: Vec<_> = file.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn raw(&self, name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), dtype, "{name}");
        (view.shape().to_vec(), view.data().to_vec())
    }

    pub(crate) fn u8(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        self.raw(name, Dtype::U8)
    }

    pub(crate) fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.raw(name, Dtype::F32);
        (shape, bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect())
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.f32(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// The rows of `input_ids`, with their padding.
    pub(crate) fn input_ids(&self) -> Vec<Vec<u32>> {
        let (shape, bytes) = self.raw("input_ids", Dtype::I64);
        let ids = bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as u32);
        ids.collect::<Vec<_>>().chunks(shape[1]).map(<[u32]>::to_vec).collect()
    }
}

/// A row of `input_ids` up to its end token.
pub(crate) fn unpadded(row: &[u32]) -> Vec<u32> {
    let end = row.iter().position(|&id| id == END).expect("every text ends");
    row[..=end].to_vec()
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
