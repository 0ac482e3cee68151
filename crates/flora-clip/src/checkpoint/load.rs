use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::names::Names;
use super::weights::Weights;
use crate::{Clip, ClipError};

/// Fill every parameter of `skeleton` from the safetensors file `bytes`; `path` is for messages.
pub(super) fn load(
    skeleton: Clip,
    bytes: &[u8],
    path: &Path,
    device: &Device,
) -> Result<Clip, ClipError> {
    let weights = Weights::parse(bytes, path)?;
    let mut loader = Loader { names: Names::default(), weights, device, error: None };
    let model = skeleton.map(&mut loader);
    if let Some(error) = loader.error {
        return Err(error);
    }
    loader.weights.finish()?;
    Ok(model.no_grad())
}

struct Loader<'a> {
    names: Names,
    weights: Weights<'a>,
    device: &'a Device,
    error: Option<ClipError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.names.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = self.names.in_file() else { return param };
        if self.error.is_some() {
            return param;
        }
        let transposed = self.names.is_transposed();
        let shape = param.lazy_shape().to_vec();
        let in_file: Vec<usize> =
            if transposed { shape.iter().rev().copied().collect() } else { shape.clone() };
        match self.weights.take(&name, &in_file) {
            Ok(values) => {
                let values =
                    if transposed { transpose(&values, in_file[0], in_file[1]) } else { values };
                Param::from_data(TensorData::new(values, shape), self.device)
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}
