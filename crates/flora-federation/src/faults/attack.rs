//! Attacks by malicious clients, and their settings.

use flora_core::kinds::{Kinds, word_or_table};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The attack of malicious clients, `attack` in the table `[faults]`: those commonly used to compare robust aggregation
/// rules.
///
/// In TOML a table, `{ kind = "sign-flip", factor = 2.0 }`, or the kind alone, `"sign-flip"`.
///
/// Attackers train like other clients. Once all replies of a round have arrived, they replace the parameters in theirs.
/// Other records, metrics, and tensors that were not sent stay unchanged. An update is the difference between the
/// trained and the sent parameters. Attacks do not bypass the checks of the round loop: an update of a thousand times
/// the usual size is rejected ([`max_update_norm`](crate::RoundPolicy::max_update_norm)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Attack {
    /// Label flipping: attackers train on wrong labels and send the result.
    ///
    /// The fleet changes nothing here. The caller that creates the clients flips the labels of
    /// [`Faults::attackers`](crate::Faults::attackers), such as `y` to `classes - 1 - y` (Fang et al. 2020,
    /// <https://arxiv.org/abs/1911.11815>). It flips training labels only.
    LabelFlip {},

    /// The update in the opposite direction, `sent - factor * update` (Li et al. 2019,
    /// <https://arxiv.org/abs/1811.03761>).
    SignFlip {
        /// Above 0; 1 by default.
        #[serde(default = "defaults::one")]
        factor: f64,
    },

    /// A scaled update, `sent + factor * update`, with which one client can outweigh the others (model replacement,
    /// Bagdasaryan et al. 2020, <https://arxiv.org/abs/1807.00459>).
    Scaled {
        /// 10 by default.
        #[serde(default = "defaults::ten")]
        factor: f64,
    },

    /// Noise instead of the update: `sent + N(0, std^2)` for every value, drawn from the seed by client, round, attempt
    /// and tensor (Blanchard et al. 2017, <https://arxiv.org/abs/1703.02757>).
    GaussianNoise {
        /// Above 0; 0.1 by default. In units of the parameters, so compare it with the clients' `update_norm`: the
        /// noise has a norm of `std` times the square root of the number of parameters.
        #[serde(default = "defaults::tenth")]
        std: f64,
    },

    /// "A little is enough" (Baruch et al. 2019, <https://arxiv.org/abs/1902.06156>): all attackers send `sent + mean -
    /// z * std`, with the mean and the (population) standard deviation of each value over the round's honest updates.
    LittleIsEnough {
        /// By default the value of the paper: the normal quantile of `(n - f - s) / (n - f)`, with `n` clients that
        /// answered, `f` attackers among them, and `s = floor(n / 2 + 1) - f`, at least 1, the number of honest clients
        /// that the attackers need for a majority.
        ///
        /// The default is 0 or below for few attackers (2 of 10: 0, the honest mean), so set a value to test them; 1.5
        /// is usual.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        z: Option<f64>,
    },

    /// Inner-product manipulation (Xie et al. 2019, <https://arxiv.org/abs/1903.03936>): all attackers send
    /// `sent - epsilon * mean`, with the mean of the round's honest updates.
    InnerProduct {
        /// Above 0; 0.5 by default. An unweighted mean reverses its direction above `(n - f) / f`: for 2 attackers of
        /// 10, above 4.
        #[serde(default = "defaults::half")]
        epsilon: f64,
    },
}

mod defaults {
    pub(super) fn one() -> f64 {
        1.0
    }

    pub(super) fn ten() -> f64 {
        10.0
    }

    pub(super) fn tenth() -> f64 {
        0.1
    }

    pub(super) fn half() -> f64 {
        0.5
    }
}

impl Attack {
    /// Checks the settings. An error is the field, from `faults` on, and its problem.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let (field, value, is_right, wanted) = match *self {
            Self::LabelFlip {} | Self::LittleIsEnough { z: None } => return Ok(()),
            Self::SignFlip { factor } => {
                ("attack.factor", factor, factor > 0.0, "a number above 0")
            }
            Self::Scaled { factor: 1.0 } => {
                return Err((
                    "attack.factor",
                    "1 leaves the update as it is; choose 10".to_owned(),
                ));
            }
            Self::Scaled { factor } => ("attack.factor", factor, true, "a number"),
            Self::GaussianNoise { std } => ("attack.std", std, std > 0.0, "a number above 0"),
            Self::LittleIsEnough { z: Some(z) } => ("attack.z", z, true, "a number"),
            Self::InnerProduct { epsilon } => {
                ("attack.epsilon", epsilon, epsilon > 0.0, "a number above 0")
            }
        };
        match is_right && value.is_finite() {
            true => Ok(()),
            false => Err((field, format!("{value} is not {wanted}"))),
        }
    }
}

impl<'de> Kinds<'de> for Attack {
    const EXPECTED: &'static str = "the name of an attack or a table with a kind";

    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl<'de> Deserialize<'de> for Attack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_table(deserializer)
    }
}

impl Serialize for Attack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}
