use flora_core::ParameterRecord;
use flora_federation::{Accepted, Aggregate, FedAvg, Global, Strategy, StrategyError};
use serde::{Deserialize, Serialize};

use super::enough;
use crate::values::{self, checked};

/// The remedy for too few replies, besides having more.
pub(super) const FEWER_BAD: &str = ", or lower num_malicious_nodes";

/// Krum (Blanchard et al. 2017, <https://arxiv.org/abs/1703.02757>): the reply nearest to its neighbours, unchanged.
/// A reply's score is the sum of its squared L2 distances, over all tensors, to the `n - num_malicious_nodes - 2`
/// nearest of the other answers. The lowest score wins; in a tie, the first client by id. Numbers of examples have no
/// effect.
///
/// Distances are sums of differences in f64. Flower 1.42 computes `|x|^2 + |y|^2 - 2 x y` in f32, which cannot resolve
/// differences below about 0.004 between records of 24,576 values of size 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Krum {
    /// The number of malicious replies to tolerate. Flower's default: 0.
    pub num_malicious_nodes: usize,
}

impl Krum {
    /// The minimum number of replies: `2 num_malicious_nodes + 3`, as in the paper.
    pub fn fewest(&self) -> usize {
        self.num_malicious_nodes.saturating_mul(2).saturating_add(3)
    }
}

impl Strategy for Krum {
    fn name(&self) -> &str {
        "krum"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        enough(self.name(), self.fewest(), accepted, FEWER_BAD)?;
        let best = most_central(global, accepted, self.num_malicious_nodes, 1)?;
        let best: Vec<Accepted> = best.into_iter().cloned().collect();
        // The mean of one reply is that reply.
        FedAvg.aggregate(global, &best)
    }
}

/// Multi-Krum (Blanchard et al. 2017, <https://arxiv.org/abs/1703.02757>): the mean of the
/// `num_nodes_to_select` replies with the lowest scores of [`Krum`], weighted by examples as in Flower
/// 1.42. With 1 it is Krum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiKrum {
    /// The number of malicious replies to tolerate.
    pub num_malicious_nodes: usize,
    /// The number of replies to average; at least 1.
    pub num_nodes_to_select: usize,
}

impl Default for MultiKrum {
    /// Flower's defaults: 0 and 1.
    fn default() -> Self {
        Self { num_malicious_nodes: 0, num_nodes_to_select: 1 }
    }
}

impl MultiKrum {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        match self.num_nodes_to_select {
            0 => Err("num_nodes_to_select: the mean needs at least one reply; choose 1 or more"
                .to_owned()),
            _ => Ok(()),
        }
    }

    /// The minimum number of replies: `2 num_malicious_nodes + 3`, as in the paper, and `num_malicious_nodes +
    /// num_nodes_to_select`, because with fewer, a malicious one is always selected.
    pub fn fewest(&self) -> usize {
        let good = self.num_malicious_nodes.saturating_add(self.num_nodes_to_select);
        self.num_malicious_nodes.saturating_mul(2).saturating_add(3).max(good)
    }
}

impl Strategy for MultiKrum {
    fn name(&self) -> &str {
        "multi-krum"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.check())?;
        let remedy = ", or lower num_malicious_nodes or num_nodes_to_select";
        enough(self.name(), self.fewest(), accepted, remedy)?;
        let (malicious, count) = (self.num_malicious_nodes, self.num_nodes_to_select);
        let best = most_central(global, accepted, malicious, count)?;
        let best: Vec<Accepted> = best.into_iter().cloned().collect();
        FedAvg.aggregate(global, &best)
    }
}

/// The `count` replies with the lowest scores, in the order of the client ids. There must be at least `malicious + 3`.
/// Computes `n (n - 1) / 2` distances and stores `n^2`.
pub(super) fn most_central<'a>(
    global: &Global,
    accepted: &'a [Accepted],
    malicious: usize,
    count: usize,
) -> Result<Vec<&'a Accepted>, StrategyError> {
    let answers = values::in_order(accepted);
    // A distance ignores tensors that only one record has.
    for answer in &answers {
        answer.parameters.check_matches(&global.parameters)?;
    }
    let records: Vec<&ParameterRecord> = answers.iter().map(|it| it.parameters.as_ref()).collect();
    let scores = scores(&records, answers.len() - malicious - 2);
    let mut best: Vec<usize> = (0..answers.len()).collect();
    // Stable: of equal scores, the first client by id.
    best.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    best.truncate(count);
    best.sort_unstable();
    Ok(best.into_iter().map(|at| answers[at]).collect())
}

/// The sum of each record's squared distances to its nearest neighbours, of which there are `neighbours`.
fn scores(records: &[&ParameterRecord], neighbours: usize) -> Vec<f64> {
    let count = records.len();
    let mut squares = vec![0.0; count * count];
    for (i, one) in records.iter().enumerate() {
        for (j, other) in records.iter().enumerate().skip(i + 1) {
            let square = one.distance(other).powi(2);
            (squares[i * count + j], squares[j * count + i]) = (square, square);
        }
    }
    let score = |i: usize| {
        let row = &squares[i * count..(i + 1) * count];
        let mut others: Vec<f64> = [&row[..i], &row[i + 1..]].concat();
        others.sort_unstable_by(f64::total_cmp);
        others.iter().take(neighbours).sum()
    };
    (0..count).map(score).collect()
}
