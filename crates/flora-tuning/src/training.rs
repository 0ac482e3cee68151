//! Settings of local training.

use std::num::NonZeroUsize;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};
use flora_core::settings;
use flora_kernels::Adam;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ClassWeights;
use crate::homing::Homing;

/// Settings of local training. A client's optimizer state persists across rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Number of training rounds.
    pub rounds: usize,
    /// Early stopping: the run ends once this many rounds in a row brought no better score on the validation images.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "patience")]
    pub patience: Option<NonZeroUsize>,
    /// Passes over a client's examples per round.
    pub local_epochs: usize,
    /// Examples per step; the last, smaller batch is kept. The loss of a batch of one is 0 under
    /// [`LossKind::Infonce`](crate::LossKind::Infonce).
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// The learning rate, at its maximum.
    pub learning_rate: f64,
    /// The learning rate schedule.
    pub schedule: Schedule,
    /// Adam's decay rates of the first and second moment.
    #[serde(deserialize_with = "flora_core::settings::two_singles")]
    pub betas: [f32; 2],
    /// Adam's epsilon.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub eps: f32,
    /// SGD's momentum, in `[0, 1)`.
    pub momentum: f64,
    /// The weight of each class in the loss [`ClassCe`](crate::LossKind::ClassCe).
    #[serde(skip_serializing_if = "ClassWeights::is_none")]
    pub class_weights: ClassWeights,
    /// Weight decay: an L2 penalty added to the gradient, or decoupled from it with [`OptimizerName::AdamW`].
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub weight_decay: f32,
}

/// The optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// Adam with coupled L2, as in the FLoRA paper's code.
    #[default]
    Adam,
    /// Adam with decoupled weight decay ([arXiv 1711.05101](https://arxiv.org/abs/1711.05101)).
    AdamW,
    /// Stochastic gradient descent.
    Sgd,
}

/// The learning rate schedule over all rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Schedule {
    /// Constant.
    #[default]
    Constant,
    /// Half a cosine from the maximum to zero, step by step.
    Cosine,
}

/// Reads [`TrainingConfig::patience`], with an error that says how to disable it.
fn patience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let patience = usize::try_from(number).ok().and_then(NonZeroUsize::new);
    patience.map(Some).ok_or_else(|| {
        D::Error::custom(format!(
            "expected a whole number above 0, found {number}; leave it out to run all rounds"
        ))
    })
}

impl Default for TrainingConfig {
    /// The paper's values.
    fn default() -> Self {
        Self {
            rounds: 50,
            patience: None,
            local_epochs: 1,
            batch_size: 128,
            optimizer: OptimizerName::Adam,
            learning_rate: 5e-5,
            schedule: Schedule::Constant,
            betas: [0.9, 0.98],
            eps: 1e-6,
            momentum: 0.0,
            weight_decay: 0.2,
            class_weights: ClassWeights::None,
        }
    }
}

impl TrainingConfig {
    /// A new optimizer.
    pub fn optimizer(&self) -> ModuleOptimizer {
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay));
        let [beta_1, beta_2] = self.betas;
        match self.optimizer {
            OptimizerName::Adam => {
                Homing(Adam::new(self.betas, self.eps, self.weight_decay)).into()
            }
            OptimizerName::AdamW => {
                let config = AdamWConfig::new().with_beta_1(beta_1).with_beta_2(beta_2);
                let config = config.with_epsilon(self.eps).with_weight_decay(self.weight_decay);
                Homing(config.build()).into()
            }
            OptimizerName::Sgd => {
                let momentum = (self.momentum > 0.0).then(|| {
                    // PyTorch's default; burn's differs.
                    MomentumConfig::new().with_momentum(self.momentum).with_dampening(0.0)
                });
                let config = SgdConfig::new().with_momentum(momentum).with_weight_decay(decay);
                Homing(config.build()).into()
            }
        }
    }

    /// The learning rate of the step `step` of `steps` in the round `round`, all counted from 0.
    pub(crate) fn learning_rate_at(&self, round: usize, step: usize, steps: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let done = round as f64 + step as f64 / steps.max(1) as f64;
                let share = (done / self.rounds.max(1) as f64).min(1.0);
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }

    /// Checks the values; an error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = |field: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("training.{field}: {value} is not a positive number"))
            }
        };
        positive("learning_rate", self.learning_rate)?;
        settings::check_single(self.learning_rate)
            .map_err(|problem| format!("training.learning_rate: {problem}"))?;
        positive("eps", f64::from(self.eps))?;
        positive("batch_size", self.batch_size as f64)?;
        positive("local_epochs", self.local_epochs as f64)?;
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            let decay = self.weight_decay;
            return Err(format!("training.weight_decay: {decay} is not 0 or a positive number"));
        }
        let weights = self.class_weights.check();
        weights.map_err(|problem| format!("training.class_weights: {problem}"))?;
        if let Some(beta) = self.betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
            return Err(format!("training.betas: {beta} is not in [0, 1)"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(format!("training.momentum: {} is not in [0, 1)", self.momentum));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_begins_at_the_top_and_ends_at_nothing() {
        let training =
            TrainingConfig { rounds: 4, schedule: Schedule::Cosine, ..TrainingConfig::default() };
        let at = |round, step| training.learning_rate_at(round, step, 10) / training.learning_rate;
        assert_eq!(at(0, 0), 1.0);
        assert!((at(2, 0) - 0.5).abs() < 1e-12);
        assert!(at(3, 9) < 0.002 && at(3, 9) > 0.0);
        assert!(
            (0..39).all(|step| at(step / 10, step % 10) > at((step + 1) / 10, (step + 1) % 10))
        );
        let constant = TrainingConfig::default();
        assert_eq!(constant.learning_rate_at(3, 2, 10), constant.learning_rate);
    }
}
