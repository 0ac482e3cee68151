use std::collections::BTreeMap;

use flora_core::{HostTensor, ParameterRecord};

use crate::{Aggregate, ClientError, FitReply, Metrics, Strategy, StrategyError};

/// Federated averaging (McMahan et al. 2017, <https://arxiv.org/abs/1602.05629>): each named tensor
/// becomes `sum_k n_k x_k / sum_k n_k`, with `n_k` the training examples of client `k`.
///
/// Sums are taken in f64 and in the order of the client ids, so the result has the same bits in
/// whatever order the replies arrive; a mean of equal values, or of a single reply, is that value.
/// A reply with a missing, unexpected, misshapen or non-finite tensor is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedAvg;

impl Strategy for FedAvg {
    fn name(&self) -> &'static str {
        "fedavg"
    }

    fn aggregate(
        &mut self,
        _round: usize,
        current: &ParameterRecord,
        replies: &[FitReply],
    ) -> Result<Aggregate, StrategyError> {
        let (accepted, rejected) = sort_and_check(current, replies)?;
        if accepted.iter().all(|reply| reply.num_examples == 0) {
            return Err(StrategyError::NoExamples);
        }
        let mut parameters = ParameterRecord::new();
        for (name, tensor) in current.iter() {
            parameters.insert(name, mean(name, tensor, &accepted)?)?;
        }
        // A finite mean can still leave the range of a narrower element type.
        parameters.check_finite()?;
        Ok(Aggregate { parameters, metrics: mean_metrics(&accepted), rejected })
    }
}

/// The replies that fit `current`, sorted by client, and those that do not.
fn sort_and_check<'a>(
    current: &ParameterRecord,
    replies: &'a [FitReply],
) -> Result<(Vec<&'a FitReply>, Vec<ClientError>), StrategyError> {
    if replies.is_empty() {
        return Err(StrategyError::NoReplies);
    }
    let mut sorted: Vec<_> = replies.iter().collect();
    sorted.sort_by(|left, right| left.client.cmp(&right.client));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].client == pair[1].client) {
        let id = pair[0].client.clone();
        return Err(StrategyError::DuplicateReply { id });
    }

    let mut accepted = Vec::with_capacity(sorted.len());
    let mut rejected = Vec::new();
    for reply in sorted {
        let checked =
            reply.parameters.check_matches(current).and_then(|()| reply.parameters.check_finite());
        match checked {
            Ok(()) => accepted.push(reply),
            Err(error) => rejected.push(ClientError::new(&reply.client, error.to_string())),
        }
    }
    if accepted.is_empty() {
        return Err(StrategyError::AllRejected { rejected });
    }
    Ok((accepted, rejected))
}

fn mean(
    name: &str,
    current: &HostTensor,
    replies: &[&FitReply],
) -> Result<HostTensor, StrategyError> {
    let mut sums = vec![0.0_f64; current.len()];
    let mut total = 0.0_f64;
    for reply in replies {
        let weight = reply.num_examples as f64;
        total += weight;
        // Always there: the reply was checked against `current`.
        if let Some(tensor) = reply.parameters.get(name) {
            for (sum, value) in sums.iter_mut().zip(tensor.to_f32().iter()) {
                *sum += weight * f64::from(*value);
            }
        }
    }
    // Dividing once, at the end, is what keeps a mean of equal values exact.
    let values = sums.into_iter().map(|sum| (sum / total) as f32).collect();
    Ok(HostTensor::from_f32(current.shape(), values)?.cast(current.dtype()))
}

/// The example-weighted mean of each metric over the clients that report it as a finite number.
pub(crate) fn mean_metrics(replies: &[&FitReply]) -> Metrics {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for reply in replies.iter().filter(|reply| reply.num_examples > 0) {
        let weight = reply.num_examples as f64;
        for (name, value) in reply.metrics.iter().filter(|(_, value)| value.is_finite()) {
            let (sum, total) = sums.entry(name).or_default();
            *sum += weight * value;
            *total += weight;
        }
    }
    sums.into_iter().map(|(name, (sum, total))| (name.to_owned(), sum / total)).collect()
}
