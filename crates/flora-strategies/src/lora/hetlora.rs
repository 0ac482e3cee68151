use faer::{Mat, Scale as Times};
use flora_core::ParameterRecord;
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};
use serde::{Deserialize, Serialize};

use super::matrix::{Changed, matrix};
use super::pairs::{Pair, is_of, pairs};
use super::product::{Product, Term};
use super::ranked::{Ranked, first};
use super::{Ranks, RanksConfig, Scale, mean};
use crate::values::{in_order, shares};

/// Settings of [`HetLora`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HetLoraConfig {
    /// The rank of each client; there is no default.
    pub ranks: RanksConfig,
}

impl Default for HetLoraConfig {
    fn default() -> Self {
        Self { ranks: RanksConfig::Listed(Vec::new()) }
    }
}

/// HetLoRA (<https://arxiv.org/abs/2401.06432>): clients have individual ranks. Their matrices are zero-padded to the
/// largest rank and averaged with weights `|B_k A_k|_F`, over all layers together. A client that trains is sent the
/// first rows of A and columns of B; one that tests is sent all of them.
///
/// Zero padding dilutes directions that only clients of a high rank learn: this is the method's known weakness, which
/// [`FlexLora`](super::FlexLora) does not have. Rows and columns that no reply of a round has stay unchanged, because
/// zeros in both matrices would never get a gradient again. Clients keep their ranks: the paper's pruning during
/// training is left out. Every training task contains the setting [`FRESH_OPTIMIZER`](super::FRESH_OPTIMIZER). If all
/// products are zero, and for parameters outside of pairs, the weights are the training examples.
pub struct HetLora {
    ranked: Ranked,
    scale: Scale,
}

impl HetLora {
    /// Creates the rule with the same scale `s` for all ranks.
    pub fn new(ranks: Ranks) -> Self {
        Self { ranked: Ranked::new(ranks), scale: Scale::default() }
    }

    /// Sets a scale `s` that depends on the rank: when B is padded or truncated, it is multiplied by the ratio of the
    /// scales, so that the update `s B A` is unchanged.
    #[must_use]
    pub fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// The clients' weights in the mean.
    fn weights(&self, pairs: &[Pair], answers: &[&Accepted]) -> Result<Vec<f64>, StrategyError> {
        let mut norms = Vec::with_capacity(answers.len());
        for answer in answers {
            let mut squares = 0.0;
            for pair in pairs {
                let factors = pair.factors(|name| answer.parameters.get(name))?;
                let term = Term::new(factors, self.scale.of(factors.rank));
                squares += Product::new(&[term]).norms(0).0.powi(2);
            }
            norms.push(f64::sqrt(squares));
        }
        let total: f64 = norms.iter().sum();
        match total > 0.0 {
            true => Ok(norms.into_iter().map(|norm| norm / total).collect()),
            false => shares(answers),
        }
    }

    fn mean(
        &self,
        pair: &Pair,
        global: &ParameterRecord,
        answers: &[&Accepted],
        weights: &[f64],
    ) -> Result<(Mat<f64>, Mat<f64>), StrategyError> {
        let before = pair.factors(|name| global.get(name))?;
        let (mut a, mut b) = (matrix(before.a), matrix(before.b));
        let factors =
            |answer: &&Accepted| Ok(pair.factors(|name| answer.parameters.get(name))?.rank);
        let ranks = answers.iter().map(factors).collect::<Result<Vec<usize>, StrategyError>>()?;
        // A row that only zero-weight replies have would become zero in both matrices.
        let weighing = ranks.iter().zip(weights).filter(|&(_, &weight)| weight > 0.0);
        let there = weighing.map(|(&rank, _)| rank).max().unwrap_or(0).min(pair.rank);
        a.subrows_mut(0, there).fill(0.0);
        b.subcols_mut(0, there).fill(0.0);
        for (answer, &weight) in answers.iter().zip(weights) {
            let own = pair.factors(|name| answer.parameters.get(name))?;
            let (has, ratio) =
                (own.rank.min(there), self.scale.of(own.rank) / self.scale.of(pair.rank));
            let (mut rows, mut columns) = (a.subrows_mut(0, has), b.subcols_mut(0, has));
            rows += matrix(own.a).subrows(0, has) * Times(weight);
            columns += matrix(own.b).subcols(0, has) * Times(weight * ratio);
        }
        Ok((a, b))
    }
}

impl Strategy for HetLora {
    fn name(&self) -> &str {
        "hetlora"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.ranked.instruct(global, client, kind, &self.scale, first)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let (answers, pairs) = (in_order(accepted), pairs(&global.parameters)?);
        self.ranked.ranks.check(&pairs)?;
        let weights = self.weights(&pairs, &answers)?;
        let next = mean::record(&global.parameters, &answers, |name| !is_of(&pairs, name))?;
        let mut changed = Changed::default();
        for pair in &pairs {
            let before = pair.factors(|name| global.parameters.get(name))?;
            let (a, b) = self.mean(pair, &global.parameters, &answers, &weights)?;
            changed.set(&pair.a, &a, before.a)?;
            changed.set(&pair.b, &b, before.b)?;
        }
        Ok(Aggregate::new(changed.within(&next)?))
    }

    fn state(&self) -> Message {
        self.ranked.ranks.state()
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        self.ranked.ranks.restore(state)
    }
}
