use serde::{Deserialize, Serialize};

use crate::{Accountant, Mechanism, PrivacyError, Sampling};

/// What is protected, and who adds the noise: `federation.privacy` in an experiment file.
///
/// ```
/// use flora_privacy::PrivacyConfig;
///
/// #[derive(serde::Deserialize)]
/// struct Federation {
///     privacy: PrivacyConfig,
/// }
///
/// let text = r#"privacy = { kind = "central", clip = 0.5, epsilon = 8.0, delta = 1e-5 }"#;
/// let read: Federation = toml::from_str(text)?;
/// assert_eq!(read.privacy.kind(), "central");
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum PrivacyConfig {
    /// Client-level privacy by the server's noise: the server sees each client's update; others, who see only the
    /// model, cannot tell which clients took part.
    Central(CentralConfig),
    /// Privacy of all data of a client, by its own noise, from everyone else.
    Local(LocalConfig),
    /// Privacy of single examples of a client, by its own noise, from everyone else.
    Sample(SampleConfig),
}

/// Clipping and noise by the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentralConfig {
    /// The L2 norm of a whole update, over all its tensors, above which it is scaled down; if it adapts, the initial
    /// one.
    pub clip: f64,
    /// How it adapts to the updates' norms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// The noise multiplier: the standard deviation of the noise on the sum, divided by the clipping norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The budget. If no noise is given, the smallest noise is used with which all rounds stay within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The probability that the privacy loss exceeds epsilon.
    #[serde(default = "delta")]
    pub delta: f64,
    /// The accountant. By default `pld`, or `rdp` if a fixed share is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accountant: Option<Accountant>,
    /// Whether clients may send their measurements.
    #[serde(default, skip_serializing_if = "ClearMetrics::is_off")]
    pub metrics: ClearMetrics,
}

/// A clipping norm that follows a quantile of the updates' norms (Andrew et al. 2021,
/// <https://arxiv.org/abs/1905.03871>): `C <- C exp(-rate (b - quantile))`, where `b` is the share of updates within
/// `C`. `b` gets noise of its own, which is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// The quantile, between 0 and 1.
    pub quantile: f64,
    /// The adaptation rate; above 0.
    pub rate: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { quantile: 0.5, rate: 0.2 }
    }
}

/// Clipping and noise by the client, on its whole update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The L2 norm of an update above which it is scaled down.
    pub clip: f64,
    /// The noise multiplier: the standard deviation of the noise divided by twice the clipping norm, which is the
    /// largest distance of two updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The budget for all replies. If no noise is given, the smallest noise is used with which one reply per round
    /// stays within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The probability that the privacy loss exceeds epsilon.
    #[serde(default = "delta")]
    pub delta: f64,
    /// Whether clients may send their measurements.
    #[serde(default, skip_serializing_if = "ClearMetrics::is_off")]
    pub metrics: ClearMetrics,
}

/// Clipping and noise by the client, on the contributions of single examples. In neighbouring data sets, one example
/// contributes nothing; the number of examples is not protected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// The L2 norm of an example's gradient above which it is scaled down.
    #[serde(default = "one")]
    pub clip: f64,
    /// The noise multiplier: the standard deviation of the noise on a batch's sum, divided by the clipping norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The budget of a client for the whole run. If no noise is given, the smallest noise is used with which its steps
    /// stay within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The probability that the privacy loss exceeds epsilon.
    #[serde(default = "delta")]
    pub delta: f64,
    /// The accountant for the steps.
    #[serde(default)]
    pub accountant: Accountant,
    /// Whether clients may send their measurements.
    #[serde(default, skip_serializing_if = "ClearMetrics::is_off")]
    pub metrics: ClearMetrics,
}

/// Whether clients send measurements of their training images, such as losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClearMetrics {
    /// Measurements do not leave the client.
    #[default]
    Off,
    /// Measurements are sent unprotected; no budget covers them.
    Clear,
}

impl ClearMetrics {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

fn delta() -> f64 {
    1e-5
}

fn one() -> f64 {
    1.0
}

impl PrivacyConfig {
    /// The name in experiment files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Central(_) => "central",
            Self::Local(_) => "local",
            Self::Sample(_) => "sample",
        }
    }

    /// Whether clients may send their measurements.
    pub fn metrics(&self) -> ClearMetrics {
        match self {
            Self::Central(it) => it.metrics,
            Self::Local(it) => it.metrics,
            Self::Sample(it) => it.metrics,
        }
    }

    /// Checks the settings, apart from the rounds.
    ///
    /// # Errors
    /// [`PrivacyError::Setting`] names the field.
    pub fn check(&self) -> Result<(), PrivacyError> {
        let (clip, noise, epsilon, delta) = match self {
            Self::Central(it) => (it.clip, it.noise, it.epsilon, it.delta),
            Self::Local(it) => (it.clip, it.noise, it.epsilon, it.delta),
            Self::Sample(it) => (it.clip, it.noise, it.epsilon, it.delta),
        };
        let wrong = |field, problem| Err(PrivacyError::setting(field, problem));
        let positive = |field, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => wrong(field, format!("{value} is not a number above 0")),
        };
        positive("clip", clip)?;
        if let Some(epsilon) = epsilon {
            positive("epsilon", epsilon)?;
        }
        if let Some(noise) = noise {
            positive("noise", noise)?;
        }
        if noise.is_none() && epsilon.is_none() {
            let problem = "neither a budget nor a noise is given; choose epsilon = 8.0, or a noise";
            return wrong("epsilon", problem.to_owned());
        }
        if !(delta > 0.0 && delta < 1.0) {
            return wrong("delta", format!("{delta} is not between 0 and 1"));
        }
        let Self::Central(CentralConfig { adaptive: Some(adaptive), .. }) = self else {
            return Ok(());
        };
        if !(adaptive.quantile > 0.0 && adaptive.quantile < 1.0) {
            let problem = format!("{} is not between 0 and 1", adaptive.quantile);
            return wrong("adaptive.quantile", problem);
        }
        positive("adaptive.rate", adaptive.rate)
    }
}

/// A noise multiplier and the budget that it spends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The rounds with their noise.
    pub mechanism: Mechanism,
    /// The epsilon that must not be exceeded.
    pub epsilon: Option<f64>,
    /// The probability that the privacy loss exceeds epsilon.
    pub delta: f64,
    /// The accountant.
    pub accountant: Accountant,
}

impl Budget {
    /// The budget of rounds with the given noise, or with the smallest noise for the epsilon.
    ///
    /// # Errors
    /// Settings that the accountant rejects, or a budget that one round with this noise exceeds.
    pub fn new(
        rounds: Mechanism,
        noise: Option<f64>,
        epsilon: Option<f64>,
        delta: f64,
        accountant: Accountant,
    ) -> Result<Self, PrivacyError> {
        let noise = match (noise, epsilon) {
            (Some(noise), _) => noise,
            (None, Some(epsilon)) => accountant.noise(rounds, epsilon, delta)?,
            (None, None) => {
                return Err(PrivacyError::setting(
                    "epsilon",
                    "neither a budget nor a noise".into(),
                ));
            }
        };
        let mechanism = Mechanism { noise, ..rounds };
        let budget = Self { mechanism, epsilon, delta, accountant };
        let first = budget.spent(1)?;
        match epsilon.filter(|&epsilon| first > epsilon) {
            None => Ok(budget),
            Some(epsilon) => Err(PrivacyError::setting(
                "noise",
                format!(
                    "{noise} spends {first:.4} in the first round, more than the budget of {epsilon}"
                ),
            )),
        }
    }

    /// The epsilon spent by this many rounds; 0 for none.
    ///
    /// # Errors
    /// Settings that the accountant rejects.
    pub fn spent(&self, rounds: usize) -> Result<f64, PrivacyError> {
        match rounds {
            0 => Ok(0.0),
            _ => self.accountant.epsilon(&Mechanism { rounds, ..self.mechanism }, self.delta),
        }
    }

    /// The largest number of rounds, up to `limit`, that stay within the budget; `limit` without one.
    ///
    /// # Errors
    /// Settings that the accountant rejects.
    pub fn most_rounds(&self, limit: usize) -> Result<usize, PrivacyError> {
        let Some(budget) = self.epsilon else { return Ok(limit) };
        // `low` rounds fit, and more than `high` do not.
        let (mut low, mut high) = (0, limit);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let fits = match self.spent(middle) {
                // So many rounds that there is no bound.
                Err(PrivacyError::NoEpsilon) => false,
                spent => spent? <= budget,
            };
            (low, high) = if fits { (middle, high) } else { (low, middle - 1) };
        }
        Ok(low)
    }

    /// A message if `more` rounds after the `done` ones would exceed the budget.
    pub fn exceeded(&self, done: usize, more: usize) -> Option<String> {
        let budget = self.epsilon?;
        if self.spent(done.saturating_add(more)).is_ok_and(|next| next <= budget) {
            return None;
        }
        let spent = self.spent(done).unwrap_or(f64::INFINITY);
        Some(format!(
            "of the privacy budget, an epsilon of {budget}, {spent:.4} is spent, and one more round would exceed it"
        ))
    }
}

impl CentralConfig {
    /// The budget of rounds in which a share `rate` of the clients takes part.
    ///
    /// # Errors
    /// The errors of [`Budget::new`].
    pub fn budget(
        &self,
        rate: f64,
        sampling: Sampling,
        rounds: usize,
    ) -> Result<Budget, PrivacyError> {
        let usual = match sampling {
            Sampling::Fixed if rate < 1.0 => Accountant::Rdp,
            _ => Accountant::Pld,
        };
        let mechanism = Mechanism { rate, rounds, sampling, ..Mechanism::default() };
        let accountant = self.accountant.unwrap_or(usual);
        Budget::new(mechanism, self.noise, self.epsilon, self.delta, accountant)
    }
}

impl LocalConfig {
    /// The budget of a client that answers this many times. There is no amplification by sampling, since others can see
    /// that it answers.
    ///
    /// # Errors
    /// The errors of [`Budget::new`].
    pub fn budget(&self, answers: usize) -> Result<Budget, PrivacyError> {
        let mechanism = Mechanism { rounds: answers, ..Mechanism::default() };
        Budget::new(mechanism, self.noise, self.epsilon, self.delta, Accountant::Exact)
    }
}

impl SampleConfig {
    /// The budget of a client that takes this many steps, in each of which an example takes part with the probability
    /// `rate`.
    ///
    /// # Errors
    /// The errors of [`Budget::new`].
    pub fn budget(&self, rate: f64, steps: usize) -> Result<Budget, PrivacyError> {
        let mechanism = Mechanism { rate, rounds: steps, ..Mechanism::default() };
        Budget::new(mechanism, self.noise, self.epsilon, self.delta, self.accountant)
    }
}

#[cfg(test)]
mod tests {
    use flora_core::{explain, settings};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Federation {
        #[expect(dead_code, reason = "only read")]
        privacy: PrivacyConfig,
    }

    /// serde accepts both.
    #[test]
    fn lists_in_place_of_tables_are_refused_by_name() {
        for (text, place) in [
            ("privacy = ['local', 0.5]", "privacy"),
            (
                "privacy = { kind = 'central', clip = 0.5, noise = 1.0, adaptive = [] }",
                "privacy.adaptive",
            ),
        ] {
            toml::from_str::<Federation>(text).unwrap();
            let refused = settings::refuse_lists::<Federation>(&text.parse().unwrap());
            let told = explain::toml(&refused.unwrap_err());
            assert_eq!(told, format!("{place}: expected a table, found a list"));
        }
    }
}
