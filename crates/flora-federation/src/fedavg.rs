use flora_core::{HostTensor, ParameterRecord};

use crate::{Accepted, Aggregate, Global, Strategy, StrategyError};

/// Federated averaging (McMahan et al. 2017, <https://arxiv.org/abs/1602.05629>): each named tensor
/// becomes `sum_k n_k x_k / sum_k n_k`, with `n_k` the training examples of client `k`.
///
/// Sums are taken in f64 and in the order of the client ids, so the result is bit-identical for any order of arrival. A
/// mean of equal values, or of a single reply, is exactly that value.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedAvg;

impl Strategy for FedAvg {
    fn name(&self) -> &str {
        "fedavg"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let mut parameters = ParameterRecord::new();
        for (name, tensor) in global.parameters.iter() {
            let mean = weighted_mean(name, tensor, accepted)?;
            let mean = mean.into_iter().map(|value| value as f32).collect();
            let mean = HostTensor::from_f32(tensor.shape(), mean)?;
            parameters.insert(name, mean.cast(tensor.dtype()))?;
        }
        Ok(Aggregate::new(parameters))
    }
}

/// The mean of the tensor `name` over the replies, weighted by their examples, in f64 and row-major: [`FedAvg`] rounds
/// it. `like` gives the expected shape. A mean of equal values is exactly that value.
///
/// # Errors
/// A reply without the tensor or with another shape, or replies that have no examples in total.
pub fn weighted_mean<'a>(
    name: &str,
    like: &HostTensor,
    answers: impl IntoIterator<Item = &'a Accepted>,
) -> Result<Vec<f64>, StrategyError> {
    let mut sums = vec![0.0_f64; like.len()];
    let mut total = 0.0_f64;
    for answer in answers {
        let weight = answer.num_examples as f64;
        total += weight;
        let tensor = answer.parameters.matching(name, like)?;
        for (sum, value) in sums.iter_mut().zip(tensor.to_f32().iter()) {
            *sum += weight * f64::from(*value);
        }
    }
    if total == 0.0 {
        return Err(StrategyError::NoExamples);
    }
    // A single division at the end keeps a mean of equal values exact.
    sums.iter_mut().for_each(|sum| *sum /= total);
    Ok(sums)
}
