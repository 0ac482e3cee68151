use std::sync::Arc;

use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::mean;
use super::pairs::pairs;
use super::part::{self, LORA_A, LORA_B};
use crate::values::in_order;

/// RoLoRA (<https://arxiv.org/abs/2502.01755>): clients train B in even rounds and A in odd ones, and what they
/// trained becomes its mean weighted by examples. As all have one and the same other matrix, the product is the mean
/// of the products.
///
/// Both matrices are sent, one comes back: the one that the setting [`TRAIN`](super::TRAIN) names. Rounds count from
/// 0, and B comes first because it begins at zero, where A has no gradient. A round that is skipped takes its turn
/// with it. Parameters that are in no pair are not trained.
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
