use std::sync::Arc;

use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Value,
};

use super::matrix::{Changed, matrix};
use super::mean;
use super::pairs::pairs;
use super::part::{self, FRESH_OPTIMIZER, LORA_B};
use super::product::Product;
use crate::values::in_order;

/// FedSVD (<https://arxiv.org/abs/2505.12805>): clients train B only. After averaging B, the factors become `B <- U S`
/// and `A <- V^t` of the singular value decomposition `B A = U S V^t`. The product is the mean of the products, as in
/// [`Ffa`](super::Ffa), but A, whose rows are then orthonormal, adapts to the training.
///
/// Both matrices are sent to clients, B is sent back. The settings are [`TRAIN`](super::TRAIN) = `lora_B` and
/// [`FRESH_OPTIMIZER`]: the gradients of the round before were in another basis. Where the product has a lower rank
/// than the adapter, the rows of A without a singular value are filled from the directions of the previous A, and the
/// columns of B are zero; a zero product leaves A and the mean of B unchanged. Parameters outside of pairs are not
/// trained.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedSvd;

impl Strategy for FedSvd {
    fn name(&self) -> &str {
        "fedsvd"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let parameters = Arc::clone(&global.parameters);
        if *kind != Kind::Train {
            return Message::parameters(parameters);
        }
        let mut message = part::training(parameters, LORA_B);
        message.config.insert(FRESH_OPTIMIZER.to_owned(), Value::Bool(true));
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
        let is_b = |name: &str| name.contains(LORA_B);
        let next = mean::record(&global.parameters, &answers, is_b)?;
        let mut changed = Changed::default();
        for pair in pairs(&global.parameters)? {
            let before = pair.factors(|name| global.parameters.get(name))?;
            // Not the product of the values rounded to f32.
            let left = mean::matrix(&pair.b, before.b, &answers)?;
            let product = Product { left, right: matrix(before.a) };
            let svd = product.svd()?;
            if svd.s.is_empty() {
                continue;
            }
            let (b, a) = svd.factors(pair.rank, product.right.as_ref());
            changed.set(&pair.a, &a, before.a)?;
            changed.set(&pair.b, &b, before.b)?;
        }
        Ok(Aggregate::new(changed.within(&next)?))
    }
}
