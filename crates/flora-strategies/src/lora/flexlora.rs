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

/// How [`FlexLora`] weighs the clients' products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// By training examples.
    #[default]
    Plain,
    /// raFLoRA (<https://arxiv.org/abs/2602.13486>): the i-th column of B and row of A count by the training examples
    /// among the clients that have as many. With plain weights, what only clients of a high rank learn is divided by
    /// everybody's examples, and shrinks from round to round.
    RaFlora,
}

/// The settings of [`FlexLora`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlexLoraConfig {
    /// The rank of each client; all have that of the adapter, unless they are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RanksConfig>,
    /// How products are weighed.
    #[serde(skip_serializing_if = "Average::is_plain")]
    pub average: Average,
}

impl Average {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// FlexLoRA (<https://arxiv.org/abs/2402.11505>): clients have ranks of their own. The mean of their products,
/// `M = sum_k p_k s_k B_k A_k = U S V^t`, becomes the global `B = U_r S_r / s_r` and `A = V_r^t`, the best
/// approximation of the largest rank r; a client that trains is sent the best one of its own rank, and one that tests the
/// global one.
///
/// The global parameters have the largest rank. A client is sent, and answers, matrices of shapes `[r_k, in]` and
/// `[out, r_k]`. What it is sent depends on the global parameters alone. Where the product has fewer singular values
/// than the rank, as at the start, when B is zero, the other rows of A go on in directions of the A of before. The
/// setting [`FRESH_OPTIMIZER`](super::FRESH_OPTIMIZER) goes with every task to train, because each round has a basis of its own. Parameters
/// that are in no pair take the mean weighted by examples.
pub struct FlexLora {
    ranked: Ranked,
    average: Average,
    scale: Scale,
}

impl FlexLora {
    /// The rule, with one factor `s` for all ranks.
    pub fn new(ranks: Ranks, average: Average) -> Self {
        Self { ranked: Ranked::new(ranks), average, scale: Scale::default() }
    }

    /// With a factor `s` that depends on the rank.
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
