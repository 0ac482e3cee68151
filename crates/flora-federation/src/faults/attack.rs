//! Which attacks there are, and their settings.

use flora_core::kinds::{Kinds, word_or_table};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What attackers do, `attack` in the table `[faults]`: the attacks that robust rules are compared on.
///
/// In TOML a table, `{ kind = "sign-flip", factor = 2.0 }`, or the kind alone, `"sign-flip"`.
///
/// Attackers train like the others. Then, once all answers of a round are there, they replace the parameters of
/// theirs; other records and the metrics stay as they were, and so does a tensor that was not sent. An update is what
/// was trained less what was sent. Attacks are made to pass the checks of the round loop, but do not get around them:
/// an update of a thousand times the usual size is refused
/// ([`max_update_norm`](crate::RoundPolicy::max_update_norm)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Attack {
    /// Attackers train on wrong labels, and send what that gave.
    ///
    /// The fleet changes nothing. Who makes the clients flips the labels of
    /// [`Faults::attackers`](crate::Faults::attackers), such as `y` to `classes - 1 - y` (Fang et al. 2020,
    /// <https://arxiv.org/abs/1911.11815>), and only those that are trained on.
    LabelFlip {},

    /// The update in the other direction, `sent - factor * update` (Li et al. 2019,
    /// <https://arxiv.org/abs/1811.03761>).
    SignFlip {
        /// Above 0; 1 by default.
        #[serde(default = "defaults::one")]
        factor: f64,
    },

    /// A larger update, `sent + factor * update`, by which one client can outweigh the others (model replacement,
    /// Bagdasaryan et al. 2020, <https://arxiv.org/abs/1807.00459>).
    Scaled {
        /// 10 by default.
        #[serde(default = "defaults::ten")]
        factor: f64,
    },

    /// Noise in place of the update: `sent + N(0, std^2)` for every number, drawn from the seed by client, round,
    /// attempt and tensor (Blanchard et al. 2017, <https://arxiv.org/abs/1703.02757>).
    GaussianNoise {
        /// Above 0; 0.1 by default. In units of the parameters, so compare it with the clients' `update_norm`: noise
        /// has a norm of `std` times the square root of the number of parameters.
        #[serde(default = "defaults::tenth")]
        std: f64,
    },

    /// "A little is enough" (Baruch et al. 2019, <https://arxiv.org/abs/1902.06156>): all attackers send
    /// `sent + mean - z * std`, with the mean and the (population) standard deviation of each number over the round's
    /// honest updates.
    LittleIsEnough {
        /// Without, that of the paper: the normal quantile of `(n - f - s) / (n - f)`, with `n` clients that answered,
        /// `f` attackers among them, and the `s = floor(n / 2 + 1) - f`, at least 1, honest ones that the attackers
        /// need for a majority.
        ///
        /// It is 0 or below for few attackers (2 of 10: 0, the honest mean), so name one to try them; 1.5 is usual.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        z: Option<f64>,
    },

    /// Inner-product manipulation (Xie et al. 2019, <https://arxiv.org/abs/1903.03936>): all attackers send
    /// `sent - epsilon * mean`, with the mean of the round's honest updates.
    InnerProduct {
        /// Above 0; 0.5 by default. An unweighted mean turns around above `(n - f) / f`, for 2 attackers of 10
        /// above 4.
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
    /// Checks the settings. An error is the field, from `faults` on, and what is wrong with it.
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
