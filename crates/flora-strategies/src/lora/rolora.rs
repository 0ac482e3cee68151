use std::sync::Arc;

use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::mean;
use super::pairs::pairs;
use super::part::{self, LORA_A, LORA_B};
use crate::values::in_order;

/// RoLoRA (<https://arxiv.org/abs/2502.01755>): clients train B in even rounds and A in odd ones, and the trained
/// matrix becomes its example-weighted mean. Since all clients have the same other matrix, the product is the mean of
/// the products.
///
/// Both matrices are sent; the one named by the setting [`TRAIN`](super::TRAIN) is sent back. Rounds count from 0, and
/// B comes first because A has no gradient while B is zero. A skipped round uses up its turn. Parameters outside of
/// pairs are not trained.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoLora;

impl RoLora {
    fn part(global: &Global) -> &'static str {
        if global.round.is_multiple_of(2) { LORA_B } else { LORA_A }
    }
}

impl Strategy for RoLora {
    fn name(&self) -> &str {
        "rolora"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let parameters = Arc::clone(&global.parameters);
        match kind {
            Kind::Train => part::training(parameters, Self::part(global)),
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
        pairs(&global.parameters)?;
        let trained = |name: &str| name.contains(Self::part(global));
        Ok(Aggregate::new(mean::record(&global.parameters, &in_order(accepted), trained)?))
    }
}
