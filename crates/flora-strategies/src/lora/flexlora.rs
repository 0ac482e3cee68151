use faer::Scale as Times;
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};
use serde::{Deserialize, Serialize};

use super::matrix::{Changed, matrix};
use super::pairs::{Pair, is_of, pairs};
use super::product::{Product, Term};
use super::ranked::Ranked;
use super::{Ranks, RanksConfig, Scale, mean};
use crate::values::in_order;

/// The weights of the clients' products in [`FlexLora`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Training examples.
    #[default]
    Plain,
    /// raFLoRA (<https://arxiv.org/abs/2602.13486>): the i-th column of B and row of A are weighted by training
    /// examples among the clients whose rank is at least i. With plain weights, directions that only clients of a high
    /// rank learn are divided by the examples of all clients, and shrink from round to round.
    RaFlora,
}

/// Settings of [`FlexLora`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlexLoraConfig {
    /// The rank of each client; by default, that of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RanksConfig>,
    /// The weights of the products.
    #[serde(skip_serializing_if = "Average::is_plain")]
    pub average: Average,
}

impl Average {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// FlexLoRA (<https://arxiv.org/abs/2402.11505>): clients have individual ranks. The mean of their products, `M = sum_k
/// p_k s_k B_k A_k = U S V^t`, becomes the global `B = U_r S_r / s_r` and `A = V_r^t`, the best approximation of the
/// largest rank r. A client that trains is sent the best approximation of its own rank; one that tests is sent the
/// global one.
///
/// The global parameters have the largest rank. A client receives and returns matrices of shapes `[r_k, in]` and `[out,
/// r_k]`. They depend on the global parameters alone. If the product has fewer singular values than the rank, as at the
/// start, when B is zero, the remaining rows of A are filled from the directions of the previous A. Every training task
/// contains the setting [`FRESH_OPTIMIZER`](super::FRESH_OPTIMIZER), because each round has another basis. Parameters
/// outside of pairs take the example-weighted mean.
pub struct FlexLora {
    ranked: Ranked,
    average: Average,
    scale: Scale,
}

impl FlexLora {
    /// Creates the rule with the same scale `s` for all ranks.
    pub fn new(ranks: Ranks, average: Average) -> Self {
        Self { ranked: Ranked::new(ranks), average, scale: Scale::default() }
    }

    /// Sets a scale `s` that depends on the rank.
    #[must_use]
    pub fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    fn terms<'a>(
        &self,
        pair: &Pair,
        answers: &[&'a Accepted],
    ) -> Result<Vec<Term<'a>>, StrategyError> {
        let factors = |answer: &&'a Accepted| pair.factors(|name| answer.parameters.get(name));
        let factors = answers.iter().map(factors).collect::<Result<Vec<_>, _>>()?;
        let examples = |answer: &Accepted| answer.num_examples as f64;
        let total: f64 = answers.iter().map(|answer| examples(answer)).sum();
        let having = |row: usize| {
            let all = answers.iter().zip(&factors).filter(|(_, it)| it.rank > row);
            all.map(|(answer, _)| examples(answer)).sum::<f64>()
        };
        let among = |row: usize| match self.average {
            Average::Plain => total,
            Average::RaFlora => having(row),
        };
        let term = |(answer, factors): (&&Accepted, _)| {
            let mut term = Term::new(factors, examples(answer) * self.scale.of(factors.rank));
            term.weights.iter_mut().enumerate().for_each(|(row, weight)| *weight /= among(row));
            term
        };
        Ok(answers.iter().zip(factors.iter().copied()).map(term).collect())
    }
}

impl Strategy for FlexLora {
    fn name(&self) -> &str {
        "flexlora"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.ranked.instruct(global, client, kind, &self.scale, |own, rank| {
            let product = Product { left: matrix(own.b), right: matrix(own.a) };
            Ok(product.svd()?.factors(rank, product.right.as_ref()))
        })
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let (answers, pairs) = (in_order(accepted), pairs(&global.parameters)?);
        self.ranked.ranks.check(&pairs)?;
        let next = mean::record(&global.parameters, &answers, |name| !is_of(&pairs, name))?;
        let mut changed = Changed::default();
        for pair in &pairs {
            let before = pair.factors(|name| global.parameters.get(name))?;
            let svd = Product::new(&self.terms(pair, &answers)?).svd()?;
            let (b, a) = svd.factors(pair.rank, matrix(before.a).as_ref());
            changed.set(&pair.a, &a, before.a)?;
            changed.set(&pair.b, &(b * Times(1.0 / self.scale.of(pair.rank))), before.b)?;
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
