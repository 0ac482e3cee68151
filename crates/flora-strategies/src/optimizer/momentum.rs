use serde::{Deserialize, Serialize};

use super::Step;
use crate::values::{above_zero, below};

/// FedAvgM (Hsu et al. 2019, <https://arxiv.org/abs/1909.06335>), as Flower 1.42's `FedAvgM`:
/// `velocity <- server_momentum velocity + delta`, from 0, and
/// `global <- global + server_learning_rate velocity`. No dampening, no Nesterov step.
///
/// With the defaults the result is bit-identical to that of the rule, and there is no state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvgM {
    /// The step size, as a multiple of the velocity; above 0.
    pub server_learning_rate: f64,
    /// The share of the velocity that is carried into the next round, in `[0, 1)`; 0.9 is usual.
    pub server_momentum: f64,
}

impl Default for FedAvgM {
    /// Flower's defaults: 1.0 and 0.0.
    fn default() -> Self {
        Self { server_learning_rate: 1.0, server_momentum: 0.0 }
    }
}

impl FedAvgM {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("server_learning_rate", self.server_learning_rate)?;
        below("server_momentum", self.server_momentum, 1.0)
    }

    pub(super) fn moments(&self) -> &'static [&'static str] {
        match self.server_momentum == 0.0 {
            true => &[],
            false => &["velocity"],
        }
    }

    pub(super) fn step(&self) -> Option<Step> {
        let Self { server_learning_rate: rate, server_momentum: momentum } = *self;
        if momentum == 0.0 {
            // `old + (mean - old)` equals the mean only up to rounding, so the mean itself is used.
            return (rate != 1.0).then(|| -> Step { Box::new(move |delta, _| rate * delta) });
        }
        Some(Box::new(move |delta, velocity| {
            velocity[0] = momentum * velocity[0] + delta;
            rate * velocity[0]
        }))
    }
}
