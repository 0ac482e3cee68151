use serde::{Deserialize, Serialize};

use crate::{PrivacyError, exact, pld, rdp};

/// Rounds of the Poisson-subsampled Gaussian mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// The probability with which a record takes part in a round, above 0; 1 for full participation.
    pub rate: f64,
    /// The noise multiplier: the standard deviation of the noise on the sum, by the norm to which contributions are clipped.
    pub noise: f64,
    /// How many rounds.
    pub rounds: usize,
}

/// How the privacy loss of rounds is added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Accountant {
    /// Rényi divergences.
    Rdp,
    /// The distribution of the privacy loss, on a grid, rounded so that epsilon is never too small (Doroshenko et al. 2022,
    /// <https://arxiv.org/abs/2207.04380>).
    #[default]
    Pld,
    /// The Gaussian mechanism's own formula.
    Exact,
}

/// The most noise that is looked at.
const MOST_NOISE: f64 = 1e6;
/// The least.
const LEAST_NOISE: f64 = 1e-2;
/// How near the noise for an epsilon is to the least that does.
const CLOSE: f64 = 1e-5;

impl Mechanism {
    fn check(&self) -> Result<(), PrivacyError> {
        let &Self { rate, noise, rounds } = self;
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(PrivacyError::setting(
                "rate",
                format!("{rate} is not above 0 and at most 1"),
            ));
        }
        if !(noise.is_finite() && noise > 0.0) {
            let problem = format!("{noise} is not above 0; without noise nothing is private");
            return Err(PrivacyError::setting("noise", problem));
        }
        match rounds {
            0 => Err(PrivacyError::setting(
                "rounds",
                "0 rounds tell nothing; it is at least 1".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

impl Accountant {
    /// The epsilon of all rounds at `delta`.
    ///
    /// # Errors
    /// Numbers out of their range, by name; [`Accountant::Exact`] with a rate below 1.
    pub fn epsilon(self, mechanism: &Mechanism, delta: f64) -> Result<f64, PrivacyError> {
        mechanism.check()?;
        if !(delta > 0.0 && delta < 1.0) {
            let problem = format!(
                "{delta} is not between 0 and 1; choose less than one by the number of records"
            );
            return Err(PrivacyError::setting("delta", problem));
        }
        let &Mechanism { rate, noise, rounds } = mechanism;
        match self {
            Self::Rdp => Ok(rdp::epsilon(rate, noise, rounds, delta)),
            Self::Pld => pld::epsilon(mechanism, delta),
            Self::Exact if rate == 1.0 => Ok(exact::epsilon(noise, rounds, delta)),
            Self::Exact => Err(PrivacyError::Accountant(format!(
                "exact knows full participation only, and the rate is {rate}; choose \"pld\""
            ))),
        }
    }

    /// The least noise multiplier with which `rounds` at `rate` stay within `epsilon` at `delta`, to five digits and never less.
    ///
    /// # Errors
    /// As [`epsilon`](Self::epsilon), and [`PrivacyError::OutOfReach`].
    pub fn noise(
        self,
        rate: f64,
        rounds: usize,
        epsilon: f64,
        delta: f64,
    ) -> Result<f64, PrivacyError> {
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(PrivacyError::setting("epsilon", format!("{epsilon} is not above 0")));
        }
        let fits = |noise: f64| {
            let mechanism = Mechanism { rate, noise, rounds };
            Ok(self.epsilon(&mechanism, delta)? <= epsilon)
        };
        let (mut low, mut high) = (LEAST_NOISE, 1.0);
        while !fits(high)? {
            (low, high) = (high, high * 2.0);
            if high > MOST_NOISE {
                return Err(PrivacyError::OutOfReach { epsilon, most: MOST_NOISE });
            }
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
