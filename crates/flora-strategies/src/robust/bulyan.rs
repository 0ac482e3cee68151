use flora_federation::{Accepted, Aggregate, Global, Strategy, StrategyError};
use serde::{Deserialize, Serialize};

use super::coordinate::{by_coordinate, mean, median};
use super::enough;
use super::krum::{FEWER_BAD, most_central};

/// Bulyan (El Mhamdi et al. 2018, <https://arxiv.org/abs/1802.07927>), as Flower 1.42's `Bulyan`. It selects, from `n`
/// replies, the `theta = n - 2 num_malicious_nodes` with the lowest scores of [`Krum`](super::Krum). Then, per
/// coordinate, it takes the mean of the `theta - 2 num_malicious_nodes` values nearest to their median; of two equally
/// near values, the lower comes first.
///
/// All scores are computed in one pass over all replies, as in Flower's `serverapp`. The paper and Flower's older API
/// select one reply at a time, by the scores among the remaining ones. Every reply has the same weight, whatever its
/// number of examples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bulyan {
    /// The number of malicious replies to tolerate. Flower's default: 0, which is the unweighted mean.
    pub num_malicious_nodes: usize,
}

impl Bulyan {
    /// The minimum number of replies: `4 num_malicious_nodes + 3`, as in the paper. Flower skips a round with fewer.
    pub fn fewest(&self) -> usize {
        self.num_malicious_nodes.saturating_mul(4).saturating_add(3)
    }
}

impl Strategy for Bulyan {
    fn name(&self) -> &str {
        "bulyan"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        enough(self.name(), self.fewest(), accepted, FEWER_BAD)?;
        let malicious = self.num_malicious_nodes;
        let theta = accepted.len() - 2 * malicious;
        let selected = most_central(global, accepted, malicious, theta)?;
        let kept = theta - 2 * malicious;
        let parameters = by_coordinate(&global.parameters, &selected, |column| {
            let middle = median(column);
            // The sort is stable, and the column is already sorted.
            column.sort_by(|a, b| (a - middle).abs().total_cmp(&(b - middle).abs()));
            mean(&column[..kept])
        })?;
        Ok(Aggregate::new(parameters))
    }
}
