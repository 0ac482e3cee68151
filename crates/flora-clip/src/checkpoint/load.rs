use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::names::Names;
use super::weights::Weights;
use crate::{Clip, ClipError};

/// Check the names and shapes of a whole model, before the first value is read.
pub(super) fn check(skeleton: &Clip, weights: &mut Weights) -> Result<(), ClipError> {
    let mut checker = Checker { names: Names::default(), weights, result: Ok(()) };
    skeleton.visit(&mut checker);
    checker.result?;
    weights.finish()
}

/// Fill every parameter of `part`, a model or some of its fields, from weights that were checked.
pub(super) fn load<M: Module>(part: M, weights: &Weights, device: &Device) -> Result<M, ClipError> {
    let mut loader = Loader { names: Names::default(), weights, device, error: None };
    let part = part.map(&mut loader);
    loader.error.map_or(Ok(part.no_grad()), Err)
}

/// The shape that Hugging Face's file has for a parameter of this one.
fn shape_in_file(names: &Names, shape: &[usize]) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if names.is_transposed() {
        shape.reverse();
    }
    shape
}

struct Checker<'a> {
    names: Names,
    weights: &'a mut Weights,
    result: Result<(), ClipError>,
}

impl ModuleVisitor for Checker<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let (Some(name), Ok(())) = (self.names.hugging_face(), &self.result) {
            let shape = shape_in_file(&self.names, &param.lazy_shape().to_vec());
            self.result = self.weights.check(&name, &shape);
        }
    }
}

struct Loader<'a> {
    names: Names,
    weights: &'a Weights,
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
        let Some(name) = self.names.hugging_face() else { return param };
        if self.error.is_some() {
            return param;
        }
        let shape = param.lazy_shape().to_vec();
        let in_file = shape_in_file(&self.names, &shape);
        match self.weights.read(&name, &in_file) {
            Ok(mut values) => {
                if self.names.is_transposed() {
                    values = transpose(&values, in_file[0], in_file[1]);
                }
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
