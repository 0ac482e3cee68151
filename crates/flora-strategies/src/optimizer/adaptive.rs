use serde::{Deserialize, Serialize};

use super::Step;
use crate::values::{above_zero, below};

/// FedAdam (Reddi et al. 2020, <https://arxiv.org/abs/2003.00295>), as Flower 1.42's `FedAdam`:
/// `m <- beta_1 m + (1 - beta_1) delta`, `v <- beta_2 v + (1 - beta_2) delta^2`, both from 0, and
/// `global <- global + eta' m / (sqrt(v) + tau)`.
///
/// `eta' = eta sqrt(1 - beta_2^(t+1)) / (1 - beta_1^(t+1))` with the round `t` counted from 1, including rounds without
/// an aggregate. Adam has the power `t` there: Flower's first correction is that of a second step, and so is this one.
/// The paper has no correction, and starts `v` at `tau^2` or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAdam {
    /// The server's learning rate; above 0. Approximately the distance that a coordinate moves in a round.
    pub eta: f64,
    /// The decay of the mean of the updates, in `[0, 1)`.
    pub beta_1: f64,
    /// The decay of the mean of the squared updates, in `[0, 1)`.
    pub beta_2: f64,
    /// Added to the root of `v`; above 0. The larger, the less adaptive.
    pub tau: f64,
}

impl Default for FedAdam {
    /// Flower's defaults: 0.1, 0.9, 0.99 and 0.001.
    fn default() -> Self {
        Self { eta: 0.1, beta_1: 0.9, beta_2: 0.99, tau: 1e-3 }
    }
}

impl FedAdam {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        check(self.eta, self.beta_1, self.beta_2, self.tau)
    }

    pub(super) fn step(&self, round: usize) -> Step {
        let Self { eta, beta_1, beta_2, tau } = *self;
        // The round counts from 0 here, and from 1 in Flower.
        let power = round as f64 + 2.0;
        let eta = eta * (1.0 - beta_2.powf(power)).sqrt() / (1.0 - beta_1.powf(power));
        moved(eta, beta_1, tau, move |v, square| beta_2 * v + (1.0 - beta_2) * square)
    }
}

/// FedYogi (Reddi et al. 2020, <https://arxiv.org/abs/2003.00295>), as Flower 1.42's `FedYogi`:
/// `m <- beta_1 m + (1 - beta_1) delta`, `v <- v - (1 - beta_2) delta^2 sign(v - delta^2)`, both from 0,
/// and `global <- global + eta m / (sqrt(v) + tau)`. The paper starts `v` at `tau^2` or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedYogi {
    /// The server's learning rate; above 0. Approximately the distance that a coordinate moves in a round.
    pub eta: f64,
    /// The decay of the mean of the updates, in `[0, 1)`.
    pub beta_1: f64,
    /// How slowly `v` follows the squares of the updates, in `[0, 1)`.
    pub beta_2: f64,
    /// Added to the root of `v`; above 0. The larger, the less adaptive.
    pub tau: f64,
}

impl Default for FedYogi {
    /// Flower's defaults: 0.01, 0.9, 0.99 and 0.001.
    fn default() -> Self {
        Self { eta: 0.01, beta_1: 0.9, beta_2: 0.99, tau: 1e-3 }
    }
}

impl FedYogi {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        check(self.eta, self.beta_1, self.beta_2, self.tau)
    }

    pub(super) fn step(&self) -> Step {
        let Self { eta, beta_1, beta_2, tau } = *self;
        moved(eta, beta_1, tau, move |v, square| {
            // `signum` of 0 is 1, but the formula's sign of 0 is 0.
            let sign = if v == square { 0.0 } else { (v - square).signum() };
            v - (1.0 - beta_2) * square * sign
        })
    }
}

/// FedAdagrad (Reddi et al. 2020, <https://arxiv.org/abs/2003.00295>), as Flower 1.42's `FedAdagrad`: `v <- v +
/// delta^2`, from 0, and `global <- global + eta delta / (sqrt(v) + tau)`. Step sizes never grow. The paper starts `v`
/// at `tau^2` or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAdagrad {
    /// The server's learning rate; above 0. Approximately the distance that a coordinate moves in the first round.
    pub eta: f64,
    /// Added to the root of `v`; above 0. The larger, the less adaptive.
    pub tau: f64,
}

impl Default for FedAdagrad {
    /// Flower's defaults: 0.1 and 0.001.
    fn default() -> Self {
        Self { eta: 0.1, tau: 1e-3 }
    }
}

impl FedAdagrad {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("eta", self.eta)?;
        above_zero("tau", self.tau)
    }

    pub(super) fn step(&self) -> Step {
        let Self { eta, tau } = *self;
        Box::new(move |delta, moments| {
            moments[0] += delta * delta;
            eta * delta / (moments[0].sqrt() + tau)
        })
    }
}

fn check(eta: f64, beta_1: f64, beta_2: f64, tau: f64) -> Result<(), String> {
    above_zero("eta", eta)?;
    below("beta_1", beta_1, 1.0)?;
    below("beta_2", beta_2, 1.0)?;
    above_zero("tau", tau)
}

/// The step of Adam and Yogi, which differ in how `second` follows the squared update.
fn moved(eta: f64, beta_1: f64, tau: f64, second: impl Fn(f64, f64) -> f64 + 'static) -> Step {
    Box::new(move |delta, moments| {
        moments[0] = beta_1 * moments[0] + (1.0 - beta_1) * delta;
        moments[1] = second(moments[1], delta * delta);
        eta * moments[0] / (moments[1].sqrt() + tau)
    })
}
