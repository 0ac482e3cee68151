use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Value,
};
use serde::{Deserialize, Serialize};

use crate::values::{above_zero, checked};

/// The setting of a training task. Flower's name for it.
const PROXIMAL_MU: &str = "proximal-mu";

/// Settings of [`FedProx`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedProxConfig {
    /// The weight `mu` of the proximal term; above 0. The paper tries 0.001, 0.01, 0.1 and 1. Flower's default of 0
    /// disables the term, so there is no default here.
    pub proximal_mu: f64,
}

impl FedProxConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        if self.proximal_mu == 0.0 {
            return Err(
                "proximal_mu: 0 has no effect; choose a number such as 0.01, or the strategy \
                        without a proximal term"
                    .to_owned(),
            );
        }
        // Clients compute in f32: a value that is infinite there is refused, and one that is 0 has no effect.
        match f64::from(self.proximal_mu as f32) {
            mu if mu.is_finite() && mu != 0.0 => above_zero("proximal_mu", mu),
            _ => Err(format!(
                "proximal_mu: {} is out of f32's range; choose a number such as 0.01",
                self.proximal_mu
            )),
        }
    }
}

/// FedProx (Li et al. 2018, <https://arxiv.org/abs/1812.06127>) around any rule: training tasks contain the setting
/// `proximal-mu`, a number, and the clients add `mu/2 |w - w_sent|^2` to their loss, over all trained parameters that
/// they were sent. The wrapped rule does everything else.
///
/// Evaluations do not contain the setting, as in Flower 1.42. Flower leaves the term to the client; the one in the
/// docstring of its `FedProx` is a sum of norms that are not squared, unlike the paper's.
pub struct FedProx {
    rule: Box<dyn Strategy>,
    config: FedProxConfig,
}

impl FedProx {
    /// Wraps `rule`. Settings that fail [`FedProxConfig::check`] are an error of the first aggregation.
    pub fn new(rule: Box<dyn Strategy>, config: FedProxConfig) -> Self {
        Self { rule, config }
    }
}

impl Strategy for FedProx {
    fn name(&self) -> &str {
        "fedprox"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let mut message = self.rule.instruct(global, client, kind);
        if *kind == Kind::Train {
            let mu = Value::Float(self.config.proximal_mu);
            message.config.insert(PROXIMAL_MU.to_owned(), mu);
        }
        message
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
        self.rule.aggregate(global, accepted)
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
