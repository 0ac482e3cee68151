use std::sync::Arc;

use faer::{Mat, Scale as Times};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::is_correction;
use super::matrix::matrix;
use super::pairs::pairs;
use super::part::{self, LORA};
use super::{correction, mean};
use crate::values::{in_order, shares};

/// FedEx-LoRA (<https://arxiv.org/abs/2410.09432>): A and B become their means, and the residual `sum_k p_k B_k A_k - B
/// A` is added to the base weights: see [`is_correction`](super::is_correction). The aggregation is exact.
///
/// With K replies of rank r, a round adds factors of rank (K - 1) r: the `B_k - B_K` side by side, times the stacked
/// `p_k (A_k - A)`, since all `p_k (A_k - A)` sum to zero. Once the factors of a layer are no smaller than its weight,
/// their product is stored instead. Every client is sent all corrections of the run, so a client that missed rounds has
/// the same weights as the others. The authors' code takes the plain mean, which equals this one for equal numbers of
/// examples.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedEx;

impl Strategy for FedEx {
    fn name(&self) -> &str {
        "fedex"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let parameters = Arc::clone(&global.parameters);
        match kind {
            Kind::Train => part::training(parameters, LORA),
            _ => Message::parameters(parameters),
        }
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
        let mut next = mean::record(&factors, &answers, |_| true)?;
        for pair in pairs(&factors)? {
            let means = pair.factors(|name| next.get(name))?;
            let mean = matrix(means.a);
            let Some((last, others)) = answers.split_last() else { continue };
            let reference = matrix(pair.factors(|name| last.parameters.get(name))?.b);
            let ranks = pair.rank * others.len();
            let (mut left, mut right) =
                (Mat::zeros(pair.out, ranks), Mat::zeros(ranks, pair.width));
            for (place, (answer, &share)) in others.iter().zip(&shares).enumerate() {
                let own = pair.factors(|name| answer.parameters.get(name))?;
                let start = place * pair.rank;
                left.subcols_mut(start, pair.rank).copy_from(matrix(own.b) - &reference);
                let apart = (matrix(own.a) - &mean) * Times(share);
                right.subrows_mut(start, pair.rank).copy_from(apart);
            }
            let before = correction::of(&pair, &global.parameters)?;
            correction::insert_sum(before, &left, &right, &pair, &mut next)?;
        }
        Ok(Aggregate::reshaped(next))
    }
}
