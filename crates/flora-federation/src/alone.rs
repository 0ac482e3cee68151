use flora_core::ParameterRecord;

use crate::{Aggregate, FitReply, Strategy, StrategyError, fedavg::mean_metrics};

/// No federation: the server makes nothing of the replies, and sends what it sent before. For clients that
/// go on from their own parameters; what federation is compared with.
///
/// Nothing needs to be sent, so that no bytes are counted, and what is evaluated in a round are the
/// clients' own models.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Strategy for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn shares(&self) -> bool {
        false
    }

    fn aggregate(
        &mut self,
        _round: usize,
        current: &ParameterRecord,
        replies: &[FitReply],
    ) -> Result<Aggregate, StrategyError> {
        let mut replies: Vec<_> = replies.iter().collect();
        replies.sort_by(|left, right| left.client.cmp(&right.client));
        Ok(Aggregate {
            parameters: current.clone(),
            metrics: mean_metrics(&replies),
            rejected: Vec::new(),
        })
    }
}
