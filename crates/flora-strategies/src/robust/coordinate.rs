use flora_core::ParameterRecord;
use flora_federation::{Accepted, Aggregate, Global, Strategy, StrategyError};
use serde::{Deserialize, Serialize};

use super::enough;
use crate::values::{self, below, checked};

/// The coordinate-wise median (Yin et al. 2018, <https://arxiv.org/abs/1803.01498>), as Flower 1.42's `FedMedian`: for
/// an even number of replies, the mean of the two middle values.
///
/// Every reply has the same weight, whatever its number of examples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Median {}

impl Median {
    /// Has nothing to check.
    ///
    /// # Errors
    /// Never fails.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The minimum number of replies: 1. Fewer than half of the replies may be malicious.
    pub fn fewest(&self) -> usize {
        1
    }
}

impl Strategy for Median {
    fn name(&self) -> &str {
        "median"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        enough(self.name(), self.fewest(), accepted, "")?;
        let answers = values::in_order(accepted);
        Ok(Aggregate::new(by_coordinate(&global.parameters, &answers, median)?))
    }
}

/// The coordinate-wise trimmed mean (Yin et al. 2018, <https://arxiv.org/abs/1803.01498>), as Flower 1.42's
/// `FedTrimmedAvg`: the mean of `n` values without the `floor(beta n)` smallest and as many largest.
///
/// Every reply has the same weight, whatever its number of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrimmedMean {
    /// The share of the replies that is trimmed at each end, in `[0, 0.5)`; at least the share of malicious replies.
    pub beta: f64,
}

impl Default for TrimmedMean {
    /// Flower's default: 0.2.
    fn default() -> Self {
        Self { beta: 0.2 }
    }
}

impl TrimmedMean {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        below("beta", self.beta, 0.5)
    }

    /// The minimum number of replies for any to be trimmed, about `1 / beta`; 1 if `beta` is 0. Unlike the other rules
    /// it accepts fewer, as Flower's does, and is then the mean.
    pub fn fewest(&self) -> usize {
        match self.check().is_ok() && self.beta > 0.0 {
            true => {
                let about = (1.0 / self.beta).ceil() as usize;
                // The division and the product are rounded.
                let cuts = |&count: &usize| self.cut(count) > 0;
                [about.saturating_sub(1), about]
                    .into_iter()
                    .find(cuts)
                    .unwrap_or(about.saturating_add(1))
            }
            false => 1,
        }
    }

    /// The number of values to trim at each end.
    fn cut(&self, count: usize) -> usize {
        (self.beta * count as f64) as usize
    }
}

impl Strategy for TrimmedMean {
    fn name(&self) -> &str {
        "trimmed-mean"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.check())?;
        enough(self.name(), 1, accepted, "")?;
        let answers = values::in_order(accepted);
        let cut = self.cut(answers.len());
        let trimmed = |column: &mut [f64]| {
            column.sort_unstable_by(f64::total_cmp);
            mean(&column[cut..column.len() - cut])
        };
        Ok(Aggregate::new(by_coordinate(&global.parameters, &answers, trimmed)?))
    }
}

/// A record of which each coordinate is computed by `rule` from that coordinate of all replies, in the order of
/// `answers`; `rule` may modify them. Holds copies of one coordinate at a time.
pub(super) fn by_coordinate(
    global: &ParameterRecord,
    answers: &[&Accepted],
    mut rule: impl FnMut(&mut [f64]) -> f64,
) -> Result<ParameterRecord, StrategyError> {
    let mut parameters = ParameterRecord::new();
    let mut column = vec![0.0; answers.len()];
    values::each_tensor(global, answers, |name, old, answered| {
        let next = (0..old.len()).map(|at| {
            column.iter_mut().zip(answered).for_each(|(to, from)| *to = f64::from(from[at]));
            rule(&mut column)
        });
        parameters.insert(name, values::rounded(next, old)?)
    })?;
    Ok(parameters)
}

/// The median of at least one value; sorts the values.
pub(super) fn median(column: &mut [f64]) -> f64 {
    column.sort_unstable_by(f64::total_cmp);
    let middle = column.len() / 2;
    match column.len() % 2 {
        0 => (column[middle - 1] + column[middle]) / 2.0,
        _ => column[middle],
    }
}

/// The mean of at least one value.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
