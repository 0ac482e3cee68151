use std::sync::Arc;

use faer::{Mat, Scale as Times};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::correction::Correction;
use super::is_correction;
use super::matrix::matrix;
use super::mean;
use super::pairs::pairs;
use super::part::{self, LORA};
use crate::values::{in_order, shares};

/// FedEx-LoRA (<https://arxiv.org/abs/2410.09432>): A and B become their means, and what the product of the means lacks,
/// `sum_k p_k B_k A_k - B A`, is added to the weights below the adapters: see
/// [`is_correction`](super::is_correction). Nothing of the clients' updates is lost.
///
/// With K answers of rank r, a round adds factors of rank K r, `B_k` beside each other over `p_k (A_k - A)`; once the
/// factors of a layer are no smaller than its weight, it is their sum. Every client is sent all corrections of the run,
/// so that one that took no part for some rounds has what the others have. The authors' code takes the plain mean,
/// which is that of equal numbers of examples.
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
            let ranks = pair.rank * answers.len();
            let (mut left, mut right) =
                (Mat::zeros(pair.out, ranks), Mat::zeros(ranks, pair.width));
            for (place, (answer, &share)) in answers.iter().zip(&shares).enumerate() {
                let own = pair.factors(|name| answer.parameters.get(name))?;
                let start = place * pair.rank;
                left.subcols_mut(start, pair.rank).copy_from(matrix(own.b));
                let apart = (matrix(own.a) - &mean) * Times(share);
                right.subrows_mut(start, pair.rank).copy_from(apart);
            }
            let before = Correction::of(&pair, &global.parameters)?;
            before.and(&left, &right, &pair, &mut next)?;
        }
        Ok(Aggregate::reshaped(next))
    }
}
