use faer::Mat;
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Value,
};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::matrix::{Changed, matrix};
use super::pairs::{is_of, pairs};
use super::part::{self, LORA, TRAIN};
use super::product::Product;
use super::ranked::{Ranked, first};
use super::{Ranks, RanksConfig, Scale, correction, is_correction, mean};
use crate::values::{in_order, shares};

/// Settings of [`Stacking`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackingConfig {
    /// The rank of each client; by default, that of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RanksConfig>,
}

/// FLoRA's stacking (<https://arxiv.org/abs/2409.05976>, the method of that name by Wang et al., not that of this
/// project): the mean of the clients' products, `sum_k p_k B_k A_k`, is added to the base weights (see
/// [`is_correction`](super::is_correction)), and the next round starts with a fresh adapter, whose B is zero.
///
/// Clients may have individual ranks: they are sent the first rows of A and columns of B. A fresh A is drawn for each
/// layer and round, from a normal distribution with the root mean square of the previous A. Every training task
/// contains the setting [`FRESH_OPTIMIZER`](super::FRESH_OPTIMIZER). Corrections are sent as with
/// [`FedEx`](super::FedEx).
pub struct Stacking {
    ranked: Ranked,
    seed: u64,
}

impl Stacking {
    /// Creates the rule; `seed` determines the fresh adapters.
    pub fn new(ranks: Ranks, seed: u64) -> Self {
        Self { ranked: Ranked::new(ranks), seed }
    }

    /// A random matrix with the shape and the root mean square of `before`.
    fn fresh(&self, before: &Mat<f64>, round: usize, layer: &str) -> Mat<f64> {
        let mut random =
            flora_core::seed::stream(self.seed, &format!("stacking round {round} {layer}"));
        let mut draw = || -> f64 { StandardNormal.sample(&mut random) };
        let mut fresh = Mat::zeros(before.nrows(), before.ncols());
        for row in 0..before.nrows() {
            fresh.row_mut(row).iter_mut().for_each(|it| *it = draw());
        }
        // Rescaled exactly, because the root mean square would otherwise drift from round to round.
        let ratio = before.norm_l2() / fresh.norm_l2();
        fresh * faer::Scale(ratio)
    }
}

impl Strategy for Stacking {
    fn name(&self) -> &str {
        "stacking"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let scale = Scale::default();
        let mut message = self.ranked.instruct(global, client, kind, &scale, first);
        if *kind == Kind::Train {
            message.config.insert(TRAIN.to_owned(), Value::Text(LORA.to_owned()));
        }
        message
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        part::check(sent, answer)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let answers = in_order(accepted);
        let shares = shares(&answers)?;
        let factors = global.parameters.filter(|name| !is_correction(name));
        let pairs = pairs(&factors)?;
        self.ranked.ranks.check(&pairs)?;
        let next = mean::record(&factors, &answers, |name| !is_of(&pairs, name))?;
        let mut changed = Changed::default();
        for pair in &pairs {
            let before = pair.factors(|name| factors.get(name))?;
            let fresh = self.fresh(&matrix(before.a), global.round + 1, &pair.layer);
            changed.set(&pair.a, &fresh, before.a)?;
            changed.set(&pair.b, &Mat::zeros(pair.out, pair.rank), before.b)?;
        }
        let mut next = changed.within(&next)?;
        for pair in &pairs {
            let product = Product::mean(pair, &answers, &shares)?;
            let before = correction::of(pair, &global.parameters)?;
            correction::insert_sum(before, &product.left, &product.right, pair, &mut next)?;
        }
        Ok(Aggregate::reshaped(next))
    }

    fn state(&self) -> Message {
        self.ranked.ranks.state()
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        self.ranked.ranks.restore(state)
    }
}
