use flora_core::ParameterRecord;
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

use super::mean;
use super::pairs::pairs;
use super::part::{self, LORA_B, Made};
use crate::values::in_order;

/// FFA-LoRA (<https://arxiv.org/abs/2403.12313>): A stays as it was at the start of the run, clients train B, and B
/// becomes their mean weighted by examples. The product of that mean with A is the mean of the products.
///
/// Only the B tensors travel, in both directions: every client has the A of the common start, and what is not sent
/// is as it was there. The setting [`TRAIN`](super::TRAIN) is `lora_B`, in tasks to test as well, where it says that
/// a part was sent. Parameters that are in no pair are not trained.
#[derive(Default)]
pub struct Ffa {
    sent: Made,
}

impl Ffa {
    /// The rule, which has no settings.
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
