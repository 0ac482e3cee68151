//! Means weighted by training examples.

use faer::Mat;
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Accepted, StrategyError};

use crate::values;

/// The mean of a tensor over the answers, in f64, row-major. A mean of equal values is that value.
pub(crate) fn values_of(
    name: &str,
    like: &HostTensor,
    answers: &[&Accepted],
) -> Result<Vec<f64>, StrategyError> {
    let mut sums = vec![0.0_f64; like.len()];
    let mut total = 0.0_f64;
    for answer in answers {
        let weight = answer.num_examples as f64;
        total += weight;
        let tensor = values::tensor(&answer.parameters, name, like)?;
        for (sum, &value) in sums.iter_mut().zip(tensor.to_f32().iter()) {
            *sum += weight * f64::from(value);
        }
    }
    if total == 0.0 {
        return Err(StrategyError::NoExamples);
    }
    // Dividing once, at the end, is what keeps a mean of equal values exact.
    sums.iter_mut().for_each(|sum| *sum /= total);
    Ok(sums)
}

/// The mean of a tensor of shape `[rows, columns]`.
pub(crate) fn matrix(
    name: &str,
    like: &HostTensor,
    answers: &[&Accepted],
) -> Result<Mat<f64>, StrategyError> {
    let values = values_of(name, like, answers)?;
    let (rows, columns) = (like.shape()[0], like.shape()[1]);
    Ok(Mat::from_fn(rows, columns, |row, column| values[row * columns + column]))
}

/// `global`, with means over the answers of those tensors whose names `averaged` takes.
pub(crate) fn record(
    global: &ParameterRecord,
    answers: &[&Accepted],
    averaged: impl Fn(&str) -> bool,
) -> Result<ParameterRecord, StrategyError> {
    let mut next = ParameterRecord::new();
    for (name, tensor) in global.iter() {
        let tensor = match averaged(name) {
            true => values::rounded(values_of(name, tensor, answers)?, tensor)?,
            false => tensor.clone(),
        };
        next.insert(name, tensor)?;
    }
    Ok(next)
}
