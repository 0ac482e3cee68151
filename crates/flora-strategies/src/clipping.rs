use std::sync::Arc;

use flora_core::{ParameterRecord, RecordError};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, PARAMETERS, Strategy,
    StrategyError,
};
use serde::{Deserialize, Serialize};

use crate::values::{self, above_zero, checked};

/// The metric with the number of scaled replies in a round.
const CLIPPED: &str = "clipped";

/// Settings of [`NormClipping`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormClippingConfig {
    /// The largest L2 norm of an update; above 0. No value suits all models: look at the norms of a run without
    /// attackers.
    pub bound: f64,
}

impl NormClippingConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("bound", self.bound)
    }
}

/// Norm clipping (Sun et al. 2019, <https://arxiv.org/abs/1911.07963>) in front of any rule: an update `answer - sent`
/// is multiplied by `min(1, bound / norm)` before the rule sees the reply. The L2 norm is over all tensors of the
/// record `parameters` that were sent. After rounding to the reply's element type, the norm may slightly exceed the
/// bound.
///
/// The metric `clipped` counts the scaled replies. Clipping keeps an update's direction, while the round policy's
/// `max_update_norm` rejects the reply.
///
/// A copy of each scaled reply is held until the rule is done: at most as much memory as the replies take.
pub struct NormClipping {
    rule: Box<dyn Strategy>,
    config: NormClippingConfig,
}

impl NormClipping {
    /// Wraps `rule`. Settings that fail [`NormClippingConfig::check`] are an error of the first aggregation.
    pub fn new(rule: Box<dyn Strategy>, config: NormClippingConfig) -> Self {
        Self { rule, config }
    }
}

impl Strategy for NormClipping {
    fn name(&self) -> &str {
        "norm-clipping"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.rule.instruct(global, client, kind)
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        self.rule.check(sent, answer)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.config.check())?;
        let mut clipped = 0_usize;
        let mut bounded = Vec::with_capacity(accepted.len());
        for answer in accepted {
            let sent = answer.sent.get_parameters().unwrap_or(&global.parameters);
            let norm = sent.distance(&answer.parameters);
            let mut answer = answer.clone();
            if norm > self.config.bound {
                clipped += 1;
                let scaled = Arc::new(scale(sent, &answer.parameters, self.config.bound / norm)?);
                answer.message.records.insert(PARAMETERS.to_owned(), Arc::clone(&scaled));
                answer.parameters = scaled;
            }
            bounded.push(answer);
        }
        let mut aggregate = self.rule.aggregate(global, &bounded)?;
        aggregate.metrics.insert(CLIPPED.to_owned(), clipped as f64);
        Ok(aggregate)
    }

    fn counts_nobody(&self) -> bool {
        self.rule.counts_nobody()
    }

    fn draw_seed(&self) -> Option<u64> {
        self.rule.draw_seed()
    }

    fn is_spent(&self) -> Option<String> {
        self.rule.is_spent()
    }

    fn state(&self) -> Message {
        self.rule.state()
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        self.rule.restore(state)
    }
}

/// `sent + factor (answer - sent)`. A tensor that was not sent has no update and stays unchanged.
fn scale(
    sent: &ParameterRecord,
    answer: &ParameterRecord,
    factor: f64,
) -> Result<ParameterRecord, RecordError> {
    let mut scaled = ParameterRecord::new();
    for (name, theirs) in answer.iter() {
        let tensor = match sent.matching(name, theirs) {
            Ok(ours) => {
                let (ours, answered) = (ours.to_f32(), theirs.to_f32());
                let pairs = ours.iter().zip(answered.iter());
                let moved = pairs.map(|(&from, &to)| {
                    let (from, to) = (f64::from(from), f64::from(to));
                    from + factor * (to - from)
                });
                values::rounded(moved, theirs)?
            }
            Err(_) => theirs.clone(),
        };
        scaled.insert(name, tensor)?;
    }
    Ok(scaled)
}
