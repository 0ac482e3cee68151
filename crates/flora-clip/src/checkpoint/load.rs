use burn::module::Module;
use flora_core::transpose;
use flora_lora::named::{self, Entry};

use super::weights::Weights;
use crate::{Clip, ClipError};

/// Checks the names and shapes of a whole model before any value is read.
pub(super) fn check(skeleton: &Clip, weights: &mut Weights) -> Result<(), ClipError> {
    let mut result = Ok(());
    named::visit(skeleton, |place, parameter| {
        if let (Some(entry), Ok(())) = (Entry::pytorch(place), &result) {
            result = weights.check(&entry.name, &entry.shape(parameter.shape()));
        }
    });
    result?;
    weights.finish()
}

/// Fills every parameter of `part`, a model or some of its fields, from checked weights.
pub(super) fn load<M: Module>(part: M, weights: &Weights) -> Result<M, ClipError> {
    let mut result = Ok(());
    let part = named::map(part, |place, parameter| {
        let (Some(entry), Ok(())) = (Entry::pytorch(place), &result) else { return };
        let shape = parameter.shape();
        match weights.read(&entry.name, &entry.shape(shape.clone())) {
            Ok(values) if entry.transposed => {
                parameter.set_values(transpose(&values, [shape[1], shape[0]]));
            }
            Ok(values) => parameter.set_values(values),
            Err(error) => result = Err(error),
        }
    });
    result.map(|()| part.no_grad())
}
