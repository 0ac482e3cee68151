use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_federation::{
    Accepted, Aggregate, ClientInfo, FedAvg, Global, Kind, Message, Strategy, StrategyError, Value,
};
use serde::{Deserialize, Serialize};

use crate::lora::FRESH_OPTIMIZER;
use crate::values::{self, below, checked};

/// Settings of [`FedNova`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedNovaConfig {
    /// The momentum `rho` of the clients' SGD, in `[0, 1)`; 0 for plain SGD.
    pub momentum: f64,
}

impl FedNovaConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        below("momentum", self.momentum, 1.0)
    }

    /// `|a|_1` for this many steps: the sum, over the steps, of the weight of their gradients in the update.
    fn norm(&self, steps: usize) -> f64 {
        let (rho, tau) = (self.momentum, steps as f64);
        (tau - rho * (1.0 - rho.powf(tau)) / (1.0 - rho)) / (1.0 - rho)
    }
}

/// FedNova (Wang et al. 2020, <https://arxiv.org/abs/2007.07481>): normalised averaging, so that clients with more
/// local steps do not pull the model towards their own optimum.
///
/// `global <- global + tau_eff sum_k p_k (x_k - global) / a_k` with `p_k = n_k / sum n`, `a_k = (tau_k - rho (1 -
/// rho^tau_k) / (1 - rho)) / (1 - rho)` for the `tau_k` local steps of SGD with momentum `rho`, and `tau_eff = sum_k
/// p_k a_k`. With plain SGD, `a_k = tau_k`. This assumes SGD with a constant learning rate and a momentum that starts
/// at 0 in each round; it does not hold for Adam. With a momentum, clients are asked to reset their optimizer in each
/// round ([`FRESH_OPTIMIZER`]).
///
/// If all clients take the same number of steps, the result is bit-identical to that of [`FedAvg`].
pub struct FedNova {
    config: FedNovaConfig,
    local_steps: Box<dyn Fn(usize) -> usize + Send>,
}

impl FedNova {
    /// `local_steps` returns a client's steps in a round from its number of training examples: a server that knows
    /// batch size and epochs need not trust the clients. Settings that fail [`FedNovaConfig::check`] are an error of
    /// the first aggregation.
    pub fn new(config: FedNovaConfig, local_steps: Box<dyn Fn(usize) -> usize + Send>) -> Self {
        Self { config, local_steps }
    }

    /// The number of steps behind each reply.
    fn steps(&self, answers: &[&Accepted]) -> Result<Vec<usize>, StrategyError> {
        let steps = |answer: &&Accepted| match (self.local_steps)(answer.num_examples) {
            0 => Err(StrategyError::Other(format!(
                "fednova: client {} takes no step on its {} examples; lower the batch size, or keep the \
                 last batch of an epoch",
                answer.client.id, answer.num_examples
            ))),
            steps => Ok(steps),
        };
        answers.iter().map(steps).collect()
    }
}

impl Strategy for FedNova {
    fn name(&self) -> &str {
        "fednova"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let mut message = Message::parameters(Arc::clone(&global.parameters));
        if *kind == Kind::Train && self.config.momentum > 0.0 {
            message.config.insert(FRESH_OPTIMIZER.to_owned(), Value::Bool(true));
        }
        message
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.config.check())?;
        let answers = values::in_order(accepted);
        let steps = self.steps(&answers)?;
        if steps.windows(2).all(|pair| pair[0] == pair[1]) {
            let answers: Vec<Accepted> = answers.into_iter().cloned().collect();
            return FedAvg.aggregate(global, &answers);
        }
        let shares = values::shares(&answers)?;
        let norms: Vec<f64> = steps.iter().map(|&steps| self.config.norm(steps)).collect();
        let effective: f64 = shares.iter().zip(&norms).map(|(share, norm)| share * norm).sum();
        let weights: Vec<f64> =
            shares.iter().zip(&norms).map(|(share, norm)| effective * share / norm).collect();
        let mut parameters = ParameterRecord::new();
        values::each_tensor(&global.parameters, &answers, |name, old, answered| {
            let from = old.to_f32();
            let mut next: Vec<f64> = from.iter().copied().map(f64::from).collect();
            for (weight, theirs) in weights.iter().zip(answered) {
                for ((next, from), to) in next.iter_mut().zip(from.iter()).zip(*theirs) {
                    *next += weight * (f64::from(*to) - f64::from(*from));
                }
            }
            parameters.insert(name, values::rounded(next, old)?)
        })?;
        Ok(Aggregate::new(parameters))
    }
}
