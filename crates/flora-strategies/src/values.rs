//! Tensors of replies as columns of values, and checks of settings shared by several rules.

use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_federation::{Accepted, StrategyError};

/// The replies in the order of the client ids, on which the last bits of a sum depend.
pub(crate) fn in_order(accepted: &[Accepted]) -> Vec<&Accepted> {
    let mut sorted: Vec<&Accepted> = accepted.iter().collect();
    sorted.sort_by(|a, b| a.client.id.cmp(&b.client.id));
    sorted
}

/// A tensor with the shape and element type of `like`. Each value is rounded to f32 first.
pub(crate) fn rounded(
    values: impl IntoIterator<Item = f64>,
    like: &HostTensor,
) -> Result<HostTensor, RecordError> {
    let values = values.into_iter().map(|value| value as f32).collect();
    Ok(HostTensor::from_f32(like.shape(), values)?.cast(like.dtype()))
}

/// Calls `visit` once for every tensor with its values in each reply, in the order of `answers`. Only 16-bit tensors
/// are copied, one at a time.
pub(crate) fn each_tensor<'a>(
    like: &'a ParameterRecord,
    answers: &[&Accepted],
    mut visit: impl FnMut(&'a str, &'a HostTensor, &[&[f32]]) -> Result<(), RecordError>,
) -> Result<(), StrategyError> {
    for (name, tensor_like) in like.iter() {
        let mut values = Vec::with_capacity(answers.len());
        for answer in answers {
            values.push(answer.parameters.matching(name, tensor_like)?.to_f32());
        }
        let slices: Vec<&[f32]> = values.iter().map(|it| it.as_ref()).collect();
        visit(name, tensor_like, &slices)?;
    }
    Ok(())
}

/// The weights `n_k / sum n` of the replies.
pub(crate) fn shares(answers: &[&Accepted]) -> Result<Vec<f64>, StrategyError> {
    let total: f64 = answers.iter().map(|answer| answer.num_examples as f64).sum();
    match total > 0.0 {
        true => Ok(answers.iter().map(|answer| answer.num_examples as f64 / total).collect()),
        false => Err(StrategyError::NoExamples),
    }
}

/// Turns settings that fail their check into a strategy error.
pub(crate) fn checked(name: &str, result: Result<(), String>) -> Result<(), StrategyError> {
    result.map_err(|problem| StrategyError::Other(format!("{name}: {problem}")))
}

/// Checks that a setting is finite and above 0.
pub(crate) fn above_zero(field: &str, value: f64) -> Result<(), String> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(format!("{field}: {value} is not a number above 0; choose one")),
    }
}

/// Checks that a setting is at least 0 and below `end`.
pub(crate) fn below(field: &str, value: f64, end: f64) -> Result<(), String> {
    match (0.0..end).contains(&value) {
        true => Ok(()),
        false => Err(format!("{field}: {value} is out of range; choose 0 or more, below {end}")),
    }
}
