//! Means weighted by training examples.

use faer::Mat;
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Accepted, StrategyError, weighted_mean};

use crate::values;

/// The mean of a tensor of shape `[rows, columns]`.
pub(crate) fn matrix(
    name: &str,
    like: &HostTensor,
    answers: &[&Accepted],
) -> Result<Mat<f64>, StrategyError> {
    let values = weighted_mean(name, like, answers.iter().copied())?;
    let (rows, columns) = (like.shape()[0], like.shape()[1]);
    Ok(Mat::from_fn(rows, columns, |row, column| values[row * columns + column]))
}

/// `global`, with the tensors whose names `averaged` accepts replaced by their means over the replies.
pub(crate) fn record(
    global: &ParameterRecord,
    answers: &[&Accepted],
    averaged: impl Fn(&str) -> bool,
) -> Result<ParameterRecord, StrategyError> {
    let mut next = ParameterRecord::new();
    for (name, tensor) in global.iter() {
        let tensor = match averaged(name) {
            true => values::rounded(weighted_mean(name, tensor, answers.iter().copied())?, tensor)?,
            false => tensor.clone(),
        };
        next.insert(name, tensor)?;
    }
    Ok(next)
}
