use flora_federation::{Accepted, Aggregate, FedAvg, Global, Strategy, StrategyError};

/// FedSA-LoRA (<https://arxiv.org/abs/2410.01463>): clients train both matrices and share A, whose mean is weighted by
/// examples; every client keeps a B of its own, and with it a model of its own.
///
/// The rule is [`FedAvg`] of what is shared. That B stays with the clients is for the run to say
/// ([`StrategyConfig::shares`](crate::StrategyConfig::shares), [`Share::Matching`](flora_federation::Share::Matching)). A client
/// that took no part for some rounds has the B that it trained last, beside the A of today.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedSa;

impl Strategy for FedSa {
    fn name(&self) -> &str {
        "fedsa"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        FedAvg.aggregate(global, accepted)
    }
}
