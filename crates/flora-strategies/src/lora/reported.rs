use flora_federation::{
    AGGREGATION_ERROR, Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message,
    Strategy, StrategyError,
};

use super::Scale;
use super::fedsb::has_cores;
use super::measure::error_of;
use super::part::ESTIMATE;
use crate::values::in_order;

/// Adds the metric [`AGGREGATION_ERROR`] to the results of a rule: `|M - B A|_F / |M|_F`, as computed by
/// [`aggregation_error`](super::aggregation_error), between the next parameters and the replies, weighted by training
/// examples. Nothing else changes.
///
/// A matrix missing from a reply, such as the A of [`Ffa`](super::Ffa), is that of the global parameters. Parameters
/// without LoRA pairs have no such metric.
pub struct Reported {
    rule: Box<dyn Strategy>,
    scale: Scale,
}

impl Reported {
    /// Adds the metric to `rule`.
    pub fn new(rule: Box<dyn Strategy>) -> Self {
        Self { rule, scale: Scale::default() }
    }

    /// Sets the scale for clients of different ranks, whose updates are `scale(r) B A`.
    #[must_use]
    pub fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }
}

impl Strategy for Reported {
    fn name(&self) -> &str {
        self.rule.name()
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
        let mut aggregate = self.rule.aggregate(global, accepted)?;
        let weighted = |answer: &'_ Accepted| answer.num_examples as f64;
        let answers = in_order(accepted);
        let answers: Vec<_> =
            answers.iter().map(|answer| (weighted(answer), answer.parameters.as_ref())).collect();
        // Estimates are averaged as well, but the parameters do not move to them.
        let is_estimate = accepted.iter().any(|it| it.sent.config.contains_key(ESTIMATE));
        if is_estimate {
            return Ok(aggregate);
        }
        // The first round of random bases sends what the global record does not have yet.
        let sent = accepted.first().and_then(|it| it.sent.get_parameters());
        let base = sent.filter(|sent| has_cores(sent)).unwrap_or(&global.parameters);
        let error = error_of(&aggregate.parameters, base, &answers, &self.scale);
        if let Some(error) = error {
            aggregate.metrics.insert(AGGREGATION_ERROR.to_owned(), error);
        }
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
