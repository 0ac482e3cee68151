use std::collections::BTreeMap;

use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_federation::{Accepted, Aggregate, Global, Strategy, StrategyError};
use serde::{Deserialize, Serialize};

use super::enough;
use crate::values::{self, above_zero, below, checked};

/// The geometric median (RFA, Pillutla et al. 2019, <https://arxiv.org/abs/1912.13445>): the point `z` that minimises
/// `sum_k p_k |z - x_k|`, over all tensors together, with `p_k = n_k / sum n`.
///
/// It is computed by the smoothed Weiszfeld iteration: from the mean weighted by `p_k`, `z <- sum_k w_k x_k / sum_k
/// w_k` with `w_k = p_k / max(nu, |z - x_k|)`. Replies are weighted by their examples, so clients with less than half
/// of all examples cannot move it far.
///
/// Needs memory for two records in f64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeometricMedian {
    /// A lower bound on distances; above 0. It avoids a division by 0 if the point meets a reply.
    pub nu: f64,
    /// The maximum number of iterations; at least 1. Each reads all replies.
    pub max_iterations: usize,
    /// The iteration stops once a step is no longer than this fraction of the mean distance to the replies, weighted by
    /// `p_k`; 0 or more.
    pub tolerance: f64,
}

impl Default for GeometricMedian {
    /// 1e-6, 100 and 1e-6. The paper uses the same `nu`, and finds 3 iterations sufficient.
    fn default() -> Self {
        Self { nu: 1e-6, max_iterations: 100, tolerance: 1e-6 }
    }
}

impl GeometricMedian {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("nu", self.nu)?;
        if self.max_iterations == 0 {
            return Err(
                "max_iterations: 0 leaves the weighted mean, which is not robust; choose 1 or \
                        more"
                    .to_owned(),
            );
        }
        below("tolerance", self.tolerance, 1.0)
    }

    /// The minimum number of replies: 1.
    pub fn fewest(&self) -> usize {
        1
    }
}

impl Strategy for GeometricMedian {
    fn name(&self) -> &str {
        "geometric-median"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.check())?;
        enough(self.name(), self.fewest(), accepted, "")?;
        let answers = values::in_order(accepted);
        let shares = values::shares(&answers)?;
        let mut point = weighted(&global.parameters, &answers, &shares)?;
        for _ in 0..self.max_iterations {
            let distances = point.distances(&answers);
            let weights: Vec<f64> =
                shares.iter().zip(&distances).map(|(p, away)| p / away.max(self.nu)).collect();
            let next = weighted(&global.parameters, &answers, &weights)?;
            let mean_distance: f64 = shares.iter().zip(&distances).map(|(p, away)| p * away).sum();
            let moved = next.distance(&point);
            point = next;
            if moved <= self.tolerance * mean_distance {
                break;
            }
        }
        Ok(Aggregate::new(point.rounded(&global.parameters)?))
    }
}

/// A record in f64, by tensor name.
struct Point<'a>(BTreeMap<&'a str, Vec<f64>>);

/// `sum_k weights_k x_k / sum_k weights_k`.
fn weighted<'a>(
    like: &'a ParameterRecord,
    answers: &[&Accepted],
    weights: &[f64],
) -> Result<Point<'a>, StrategyError> {
    let total: f64 = weights.iter().sum();
    let mut point = BTreeMap::new();
    values::each_tensor(like, answers, |name, tensor, answered| {
        let mut sums = vec![0.0; tensor.len()];
        for (weight, values) in weights.iter().zip(answered) {
            sums.iter_mut().zip(*values).for_each(|(sum, x)| *sum += weight * f64::from(*x));
        }
        sums.iter_mut().for_each(|sum| *sum /= total);
        point.insert(name, sums);
        Ok(())
    })?;
    Ok(Point(point))
}

impl Point<'_> {
    /// The L2 distance to each reply, which must have these tensors.
    fn distances(&self, answers: &[&Accepted]) -> Vec<f64> {
        let square = |answer: &&Accepted| {
            let of_tensor = |(name, point): (&&str, &Vec<f64>)| {
                let theirs = answer.parameters.get(name).map(HostTensor::to_f32);
                let theirs = theirs.iter().flat_map(|it| it.iter());
                point.iter().zip(theirs).map(|(a, &b)| (a - f64::from(b)).powi(2)).sum::<f64>()
            };
            self.0.iter().map(of_tensor).sum::<f64>().sqrt()
        };
        answers.iter().map(square).collect()
    }

    /// The L2 distance to another point with the same tensors.
    fn distance(&self, other: &Self) -> f64 {
        let pairs = self.0.values().flatten().zip(other.0.values().flatten());
        pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    /// The record, with each value rounded once.
    fn rounded(&self, like: &ParameterRecord) -> Result<ParameterRecord, RecordError> {
        let mut record = ParameterRecord::new();
        for (name, tensor) in like.iter() {
            let point = self.0.get(name).into_iter().flatten().copied();
            record.insert(name, values::rounded(point, tensor)?)?;
        }
        Ok(record)
    }
}
