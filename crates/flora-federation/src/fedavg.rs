use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};

use crate::{Accepted, Aggregate, Global, Strategy, StrategyError};

/// Federated averaging (McMahan et al. 2017, <https://arxiv.org/abs/1602.05629>): each named tensor
/// becomes `sum_k n_k x_k / sum_k n_k`, with `n_k` the training examples of client `k`.
///
/// Sums are taken in f64 and in the order of the client ids, so the result has the same bits in
/// whatever order the answers arrive; a mean of equal values, or of a single answer, is that value.
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
            let answers = accepted.iter().map(|answer| (answer.num_examples, &answer.parameters));
            parameters.insert(name, mean(name, tensor, answers)?)?;
        }
        Ok(Aggregate::new(parameters))
    }
}

fn mean<'a>(
    name: &str,
    current: &HostTensor,
    answers: impl Iterator<Item = (usize, &'a Arc<ParameterRecord>)>,
) -> Result<HostTensor, StrategyError> {
    let mut sums = vec![0.0_f64; current.len()];
    let mut total = 0.0_f64;
    for (num_examples, parameters) in answers {
        let weight = num_examples as f64;
        total += weight;
        let tensor = parameters.get(name).expect("the answer passed the checks");
        for (sum, value) in sums.iter_mut().zip(tensor.to_f32().iter()) {
            *sum += weight * f64::from(*value);
        }
    }
    if total == 0.0 {
        return Err(StrategyError::NoExamples);
    }
    // Dividing once, at the end, is what keeps a mean of equal values exact.
    let values = sums.into_iter().map(|sum| (sum / total) as f32).collect();
    Ok(HostTensor::from_f32(current.shape(), values)?.cast(current.dtype()))
}
