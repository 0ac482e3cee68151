use flora_core::ParameterRecord;
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::mean;
use super::pairs::pairs;
use super::part::{self, LORA_B, Made};
use crate::values::in_order;

/// FFA-LoRA (<https://arxiv.org/abs/2403.12313>): A keeps its initial value, clients train B, and B becomes its
/// example-weighted mean. The product of that mean with A is the mean of the products.
///
/// Only the B tensors are sent, in both directions: every client has the common initial A. The setting
/// [`TRAIN`](super::TRAIN) is `lora_B`, also in evaluation tasks, where it says that only a part was sent. Parameters
/// outside of pairs are not trained.
#[derive(Default)]
pub struct Ffa {
    sent: Made,
}

impl Ffa {
    /// Creates the rule, which has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for Ffa {
    fn name(&self) -> &str {
        "ffa"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, _kind: &Kind) -> Message {
        let only_b = |it: &ParameterRecord| Some(it.filter(|name| name.contains(LORA_B)));
        part::training(self.sent.get(&global.parameters, 0, only_b), LORA_B)
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
        let is_b = |name: &str| name.contains(LORA_B);
        Ok(Aggregate::new(mean::record(&global.parameters, &in_order(accepted), is_b)?))
    }
}
