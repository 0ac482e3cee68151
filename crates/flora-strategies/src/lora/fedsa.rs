use flora_federation::{Accepted, Aggregate, FedAvg, Global, Strategy, StrategyError};

/// FedSA-LoRA (<https://arxiv.org/abs/2410.01463>): clients train both matrices and share A, which is averaged by
/// examples; every client keeps its own B, and so its own model.
///
/// The rule is [`FedAvg`] of the shared tensors. The run must be configured to keep B with the clients
/// ([`StrategyConfig::shares`](crate::StrategyConfig::shares), [`Share::Matching`](flora_federation::Share::Matching)).
/// A client that missed rounds combines the B that it last trained with the current A.
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
