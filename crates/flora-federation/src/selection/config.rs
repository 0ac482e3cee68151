use flora_core::kinds::{Kinds, word_or_table};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClientSelector, DynamicSampling, Named, Poisson, PowerOfChoice, Selection};
use crate::FederationError;

/// The client selection, `federation.selection` of an experiment.
///
/// In TOML a table, `{ kind = "poisson", rate = 0.1 }`, or the kind alone, `"fraction"`, if all other settings have
/// defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SelectionConfig {
    /// A constant share, [`ClientSelector`], with the keys `fraction` and `min_clients` beside this one.
    Fraction {},
    /// A falling share: [`DynamicSampling`].
    DynamicSampling {
        /// [`DynamicSampling::rate`]; 1 by default.
        #[serde(default = "defaults::rate")]
        rate: f64,
        /// [`DynamicSampling::decay`]; 0.1 by default.
        #[serde(default = "defaults::decay")]
        decay: f64,
        /// [`DynamicSampling::floor`]; 2 by default.
        #[serde(default = "defaults::floor")]
        floor: usize,
    },
    /// Each client independently: [`Poisson`].
    Poisson {
        /// [`Poisson::rate`].
        rate: f64,
    },
    /// The candidates with the highest losses: [`PowerOfChoice`].
    PowerOfChoice {
        /// [`PowerOfChoice::rate`].
        rate: f64,
        /// [`PowerOfChoice::candidates`].
        candidates: usize,
    },
    /// The same clients in every round: [`Named`].
    Named {
        /// [`Named::clients`].
        clients: Vec<String>,
    },
}

mod defaults {
    pub(super) fn rate() -> f64 {
        1.0
    }

    pub(super) fn decay() -> f64 {
        0.1
    }

    pub(super) fn floor() -> usize {
        2
    }
}

impl Default for SelectionConfig {
    /// Selection by fraction.
    fn default() -> Self {
        Self::Fraction {}
    }
}

impl SelectionConfig {
    /// Whether this is the default, by fraction, which need not be written down.
    pub fn is_fraction(&self) -> bool {
        *self == Self::default()
    }

    /// The kind as written in TOML.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fraction {} => "fraction",
            Self::DynamicSampling { .. } => "dynamic-sampling",
            Self::Poisson { .. } => "poisson",
            Self::PowerOfChoice { .. } => "power-of-choice",
            Self::Named { .. } => "named",
        }
    }

    /// Creates the selection. `fraction` holds the settings of the selection by fraction, from the keys beside this
    /// one.
    pub fn selection(&self, fraction: ClientSelector) -> Box<dyn Selection> {
        match self.clone() {
            Self::Fraction {} => Box::new(fraction),
            Self::DynamicSampling { rate, decay, floor } => {
                Box::new(DynamicSampling { rate, decay, floor })
            }
            Self::Poisson { rate } => Box::new(Poisson { rate }),
            Self::PowerOfChoice { rate, candidates } => {
                Box::new(PowerOfChoice { rate, candidates })
            }
            Self::Named { clients } => Box::new(Named { clients }),
        }
    }

    /// Checks the settings before the clients are known; [`Selection::check`] checks them again then.
    ///
    /// # Errors
    /// [`FederationError::Selection`] or [`FederationError::Fraction`] names the field, and
    /// [`FederationError::WithoutFraction`] a key beside this one that would have no effect.
    pub fn check(&self, fraction: ClientSelector) -> Result<(), FederationError> {
        match self {
            Self::Fraction {} => return fraction.check_share(),
            Self::Named { clients } => Named { clients: clients.clone() }.check_names()?,
            &Self::PowerOfChoice { rate, candidates } => {
                PowerOfChoice { rate, candidates }.check_settings()?;
            }
            _ => self.selection(fraction).check(&[])?,
        }
        let (usual, selection) = (ClientSelector::default(), self.kind());
        let field = match fraction {
            it if it.fraction != usual.fraction => "fraction",
            it if it.min_clients != usual.min_clients => "min_clients",
            _ => return Ok(()),
        };
        Err(FederationError::WithoutFraction { field, selection })
    }

    /// The number of `trainers` that train in the smallest of `rounds` rounds; for [`Poisson`], where the number is
    /// random, the largest possible. A quorum above this can never be met.
    pub fn fewest(&self, fraction: ClientSelector, trainers: usize, rounds: usize) -> usize {
        match *self {
            Self::Fraction {} => fraction.count(trainers),
            Self::DynamicSampling { rate, decay, floor } => {
                let last = rounds.saturating_sub(1);
                DynamicSampling { rate, decay, floor }.count(last, trainers)
            }
            Self::Poisson { .. } => trainers,
            Self::PowerOfChoice { rate, candidates } => {
                PowerOfChoice { rate, candidates }.count(trainers)
            }
            Self::Named { ref clients } => clients.len().min(trainers),
        }
    }
}

impl<'de> Kinds<'de> for SelectionConfig {
    const EXPECTED: &'static str = "the name of a selection or a table with a kind";

    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl<'de> Deserialize<'de> for SelectionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_table(deserializer)
    }
}

impl Serialize for SelectionConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Document {
        fraction: f64,
        #[serde(skip_serializing_if = "SelectionConfig::is_fraction")]
        selection: SelectionConfig,
    }

    impl Default for Document {
        fn default() -> Self {
            Self { fraction: 1.0, selection: SelectionConfig::default() }
        }
    }

    fn named(clients: &[&str]) -> SelectionConfig {
        SelectionConfig::Named { clients: clients.iter().map(|&id| id.to_owned()).collect() }
    }

    #[test]
    fn every_selection_survives_toml() {
        use SelectionConfig::{DynamicSampling, Poisson, PowerOfChoice};
        for (text, selection) in [
            ("'fraction'", SelectionConfig::Fraction {}),
            ("{ kind = 'fraction' }", SelectionConfig::Fraction {}),
            ("'dynamic-sampling'", DynamicSampling { rate: 1.0, decay: 0.1, floor: 2 }),
            (
                "{ kind = 'dynamic-sampling', rate = 0.5, decay = 0, floor = 3 }",
                DynamicSampling { rate: 0.5, decay: 0.0, floor: 3 },
            ),
            ("{ kind = 'poisson', rate = 0.1 }", Poisson { rate: 0.1 }),
            (
                "{ kind = 'power-of-choice', rate = 0.1, candidates = 30 }",
                PowerOfChoice { rate: 0.1, candidates: 30 },
            ),
            ("{ kind = 'named', clients = ['b', 'a'] }", named(&["b", "a"])),
        ] {
            let document: Document = toml::from_str(&format!("selection = {text}")).unwrap();
            assert_eq!(document.selection, selection, "{text}");
            let written = toml::to_string(&document).unwrap();
            assert_eq!(toml::from_str::<Document>(&written).unwrap(), document, "{written}");
            let kind = format!("kind = {:?}", selection.kind());
            assert!(selection.is_fraction() || written.contains(&kind), "{written}");
        }
        let written = toml::to_string(&Document::default()).unwrap();
        assert_eq!(written, "fraction = 1.0\n", "as it was before there was a choice");
    }

    #[test]
    fn mistyped_selections_are_named() {
        for (text, words) in [
            ("'poison'", "unknown variant `poison`"),
            ("'poisson'", "missing field `rate`"),
            ("{ kind = 'poisson', rat = 0.1 }", "unknown field `rat`, expected `rate`"),
            ("{ kind = 'fraction', rate = 0.1 }", "unknown field `rate`"),
            ("{ rate = 0.1 }", "missing field `kind`"),
            ("['a', 'b']", "expected the name of a selection or a table with a kind"),
        ] {
            let read = toml::from_str::<Document>(&format!("selection = {text}"));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        use SelectionConfig::{DynamicSampling, Poisson, PowerOfChoice};
        let everybody = ClientSelector::default();
        let dynamic = |rate, decay, floor| DynamicSampling { rate, decay, floor };
        for (config, words) in [
            (dynamic(0.0, 0.1, 2), "federation.selection.rate: 0 is not above 0"),
            (dynamic(1.5, 0.1, 2), "federation.selection.rate: 1.5"),
            (dynamic(1.0, -0.1, 2), "federation.selection.decay: -0.1"),
            (dynamic(1.0, f64::INFINITY, 2), "federation.selection.decay: inf"),
            (dynamic(1.0, 0.1, 0), "federation.selection.floor: 0 clients"),
            (Poisson { rate: f64::NAN }, "federation.selection.rate: NaN"),
            (Poisson { rate: 1.1 }, "federation.selection.rate: 1.1"),
            (PowerOfChoice { rate: 0.0, candidates: 3 }, "federation.selection.rate: 0 is"),
            (PowerOfChoice { rate: 0.5, candidates: 0 }, "federation.selection.candidates: 0"),
            (named(&[]), "federation.selection.clients: an empty list"),
            (named(&["a", "b", "a"]), "federation.selection.clients: \"a\" is named twice"),
        ] {
            let error = config.check(everybody).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let power = PowerOfChoice { rate: 0.5, candidates: 1 };
        for config in [dynamic(1.0, 0.0, 1), Poisson { rate: 1.0 }, power, named(&["a"])] {
            assert!(config.check(everybody).is_ok());
            for (fraction, words) in [
                (ClientSelector { fraction: 0.5, ..everybody }, "federation.fraction: "),
                (ClientSelector { min_clients: 3, ..everybody }, "federation.min_clients: "),
            ] {
                let error = config.check(fraction).unwrap_err().to_string();
                assert!(error.contains(words) && error.contains(config.kind()), "{error}");
                assert!(SelectionConfig::Fraction {}.check(fraction).is_ok());
            }
        }
        let none = ClientSelector { fraction: 0.0, ..everybody };
        let error = SelectionConfig::Fraction {}.check(none).unwrap_err().to_string();
        assert!(error.contains("federation.fraction = 0"), "{error}");
    }

    #[test]
    fn the_round_with_the_fewest_is_the_last() {
        let fraction = ClientSelector { fraction: 0.29, min_clients: 1 };
        let fewest = |config: SelectionConfig| config.fewest(fraction, 100, 25);
        assert_eq!(fewest(SelectionConfig::Fraction {}), 29);
        let dynamic = SelectionConfig::DynamicSampling { rate: 1.0, decay: 0.05, floor: 2 };
        assert_eq!(fewest(dynamic.clone()), 30);
        assert_eq!(dynamic.fewest(fraction, 100, 0), 100);
        assert_eq!(fewest(SelectionConfig::Poisson { rate: 0.1 }), 100);
        let power = SelectionConfig::PowerOfChoice { rate: 0.1, candidates: 30 };
        assert_eq!(fewest(power), 10);
        assert_eq!(fewest(named(&["a", "b"])), 2);
    }
}
