use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::{PrivacyError, exact, pld, rdp};

/// How participants of a round are drawn, which determines when data sets are neighbours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sampling {
    /// Each record is drawn independently. Neighbouring data sets differ by one additional record.
    #[default]
    Poisson,
    /// A fixed share of all records, drawn without replacement. Neighbouring data sets differ by one replaced record,
    /// which moves a sum by up to twice the clipping norm. If the share is all of them, the same as `Poisson`.
    Fixed,
}

/// Rounds of the subsampled Gaussian mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// The probability that a record takes part in a round, above 0; 1 for full participation. For a fixed share, the
    /// share.
    pub rate: f64,
    /// The noise multiplier: the standard deviation of the noise on the sum, divided by the clipping norm.
    pub noise: f64,
    /// The number of rounds.
    pub rounds: usize,
    /// How the participants are drawn.
    #[serde(default)]
    pub sampling: Sampling,
}

/// The method that composes the privacy loss of rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Accountant {
    /// Rényi differential privacy.
    Rdp,
    /// The distribution of the privacy loss, on a grid, rounded so that epsilon is never too small (Doroshenko et al.
    /// 2022, <https://arxiv.org/abs/2207.04380>).
    #[default]
    Pld,
    /// The exact formula of the Gaussian mechanism.
    Exact,
}

/// The noise range in which the accountants are accurate: outside it, an epsilon could be too small.
const NOISE: [f64; 2] = [1e-2, 1e6];
/// A noise that few budgets need, a power of two.
const UNUSUAL: f64 = 64.0;
const LEAST_RATE: f64 = 1e-6;
const MOST_ROUNDS: usize = 10_000_000;
/// Relative tolerance of the noise computed for an epsilon.
const CLOSE: f64 = 1e-5;

impl Default for Mechanism {
    /// One round with full participation, and a noise multiplier of 1.
    fn default() -> Self {
        Self { rate: 1.0, noise: 1.0, rounds: 1, sampling: Sampling::Poisson }
    }
}

impl Mechanism {
    fn check(&self) -> Result<(), PrivacyError> {
        let &Self { rate, noise, rounds, .. } = self;
        let wrong = |field, problem| Err(PrivacyError::setting(field, problem));
        if !(LEAST_RATE..=1.0).contains(&rate) {
            return wrong("rate", format!("{} is not between {LEAST_RATE:e} and 1", shown(rate)));
        }
        if !(NOISE[0]..=NOISE[1]).contains(&noise) {
            return wrong(
                "noise",
                format!("{} is not between {} and {}", shown(noise), NOISE[0], NOISE[1]),
            );
        }
        match rounds {
            1..=MOST_ROUNDS => Ok(()),
            _ => wrong("rounds", format!("{rounds} is not between 1 and {MOST_ROUNDS}")),
        }
    }
}

impl Accountant {
    /// The epsilon of all rounds at `delta`.
    ///
    /// # Errors
    /// Numbers out of range, by name; [`Accountant::Exact`] with a rate below 1.
    pub fn epsilon(self, mechanism: &Mechanism, delta: f64) -> Result<f64, PrivacyError> {
        mechanism.check()?;
        if !(delta > 0.0 && delta < 1.0) {
            let problem = format!(
                "{} is not between 0 and 1; choose less than one by the number of records",
                shown(delta)
            );
            return Err(PrivacyError::setting("delta", problem));
        }
        let &Mechanism { rate, noise, rounds, sampling } = mechanism;
        let is_fixed = sampling == Sampling::Fixed && rate < 1.0;
        let epsilon = match self {
            Self::Rdp => rdp::epsilon(mechanism, delta),
            Self::Pld if is_fixed => {
                return Err(PrivacyError::Accountant(
                    "pld supports Poisson sampling and full participation only; for a fixed share, \
                     choose \"rdp\""
                        .to_owned(),
                ));
            }
            // Both are upper bounds.
            Self::Pld => pld::epsilon(mechanism, delta)?.min(rdp::epsilon(mechanism, delta)),
            Self::Exact if rate == 1.0 => exact::epsilon(noise, rounds, delta),
            Self::Exact => {
                return Err(PrivacyError::Accountant(format!(
                    "exact supports full participation only, and the rate is {rate}; choose \"pld\""
                )));
            }
        };
        match epsilon.is_finite() {
            true => Ok(epsilon),
            false => Err(PrivacyError::NoEpsilon),
        }
    }

    /// The smallest noise multiplier with which `rounds` stay within `epsilon` at `delta`, whatever their `noise`
    /// field; accurate to five digits and never too small.
    ///
    /// # Errors
    /// The errors of [`epsilon`](Self::epsilon), and [`PrivacyError::OutOfReach`].
    pub fn noise(self, rounds: Mechanism, epsilon: f64, delta: f64) -> Result<f64, PrivacyError> {
        if !(epsilon.is_finite() && epsilon > 0.0) {
            let problem = match epsilon > 0.0 {
                true => format!("{epsilon} is not a finite number; every noise is within it"),
                false => format!("{} is not above 0", shown(epsilon)),
            };
            return Err(PrivacyError::setting("epsilon", problem));
        }
        let fits = |noise: f64| {
            let mechanism = Mechanism { noise, ..rounds };
            match self.epsilon(&mechanism, delta) {
                // Too little noise for any epsilon.
                Err(PrivacyError::NoEpsilon) => Ok(false),
                other => Ok(other? <= epsilon),
            }
        };
        let [mut low, most] = NOISE;
        if fits(low)? {
            let problem = format!(
                "{} is more than the least noise, {low}, spends; ask for less",
                shown(epsilon)
            );
            return Err(PrivacyError::setting("epsilon", problem));
        }
        let mut high = 1.0;
        while !fits(high)? {
            // Most budgets need less noise. For the others, the search takes long, and may be in vain.
            if high == most || high == UNUSUAL && !fits(most)? {
                let is_pld = self == Self::Pld;
                return Err(PrivacyError::OutOfReach { epsilon, most, is_pld });
            }
            (low, high) = (high, (high * 2.0).min(most));
        }
        while high - low > CLOSE * high {
            let middle = (low * high).sqrt();
            match fits(middle)? {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(high)
    }
}
