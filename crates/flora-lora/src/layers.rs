//! Other ranks or scales for some layers, as in PEFT's `rank_pattern` and `alpha_pattern`.

use std::collections::BTreeMap;

use flora_core::settings;

use crate::pattern::{Pattern, enclose};
use crate::text::shortened;
use crate::{LoraConfig, LoraError};

/// Determines the configuration of each layer, by name.
#[derive(Debug)]
pub(crate) struct LayerConfigs {
    plain: LoraConfig,
    ranks: Rules<usize>,
    alphas: Rules<f64>,
}

impl LayerConfigs {
    pub(crate) fn new(config: &LoraConfig) -> Result<Self, LoraError> {
        let plain = LoraConfig {
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            ..config.clone()
        };
        let layers = Self {
            ranks: Rules::new("rank_pattern", &config.rank_pattern)?,
            alphas: Rules::new("alpha_pattern", &config.alpha_pattern)?,
            plain,
        };
        for (_, key, r) in &layers.ranks.rules {
            if *r == 0 {
                return Err(layers.ranks.wrong(format!("{key:?}: rank 0 trains nothing")));
            }
        }
        for (_, key, alpha) in &layers.alphas.rules {
            if !alpha.is_finite() || *alpha == 0.0 {
                let problem = format!("{key:?}: {alpha} would switch the adapter off");
                return Err(layers.alphas.wrong(problem));
            }
            settings::check_single(*alpha)
                .map_err(|problem| layers.alphas.wrong(format!("{key:?}: {problem}")))?;
        }
        Ok(layers)
    }

    /// The rank of the layer with this name.
    pub(crate) fn rank(&self, name: &str) -> Result<usize, LoraError> {
        Ok(self.ranks.find(name)?.unwrap_or(self.plain.r))
    }

    /// The configuration of the layer with this name, without patterns.
    pub(crate) fn of(&self, name: &str) -> Result<LoraConfig, LoraError> {
        let plain = &self.plain;
        Ok(LoraConfig {
            r: self.rank(name)?,
            lora_alpha: self.alphas.find(name)?.unwrap_or(plain.lora_alpha),
            ..plain.clone()
        })
    }

    /// Checks that every pattern matches one of these layers: a pattern without a match is a mistake.
    pub(crate) fn check_used(&self, names: &[String]) -> Result<(), LoraError> {
        self.ranks.check_used(names)?;
        self.alphas.check_used(names)
    }
}

/// Values by regular expressions for the ends of names.
#[derive(Debug)]
struct Rules<T> {
    field: &'static str,
    rules: Vec<(Pattern, String, T)>,
}

impl<T: Copy + PartialEq> Rules<T> {
    fn new(field: &'static str, map: &BTreeMap<String, T>) -> Result<Self, LoraError> {
        let compile = |(key, value): (&String, &T)| {
            // PEFT matches `(.*\.)?(key)$`.
            let pattern = Pattern::compile(&enclose(r"(?:.*\.)?", key, ""));
            let pattern = pattern.map_err(|problem| LoraError::Config {
                field,
                problem: format!("the expression {:?} cannot be used: {problem}", shortened(key)),
            })?;
            Ok((pattern, key.clone(), *value))
        };
        Ok(Self { field, rules: map.iter().map(compile).collect::<Result<_, LoraError>>()? })
    }

    fn wrong(&self, problem: String) -> LoraError {
        LoraError::Config { field: self.field, problem }
    }

    fn matches(&self, rule: &(Pattern, String, T), name: &str) -> Result<bool, LoraError> {
        rule.0.matches(name).map_err(|problem| {
            let (key, name) = (shortened(&rule.1), shortened(name));
            self.wrong(format!("{key:?} takes too long on {name:?}: {problem}"))
        })
    }

    /// The value for this layer. If several match, PEFT takes the first in the order of its file; here they must agree.
    fn find(&self, name: &str) -> Result<Option<T>, LoraError> {
        let mut found: Option<&(Pattern, String, T)> = None;
        for rule in &self.rules {
            if !self.matches(rule, name)? {
                continue;
            }
            match found {
                Some(first) if first.2 != rule.2 => {
                    return Err(self.wrong(format!(
                        "{:?} and {:?} both match {name}; write them so that one does",
                        first.1, rule.1
                    )));
                }
                _ => found = Some(rule),
            }
        }
        Ok(found.map(|rule| rule.2))
    }

    fn check_used(&self, names: &[String]) -> Result<(), LoraError> {
        for rule in &self.rules {
            let mut used = false;
            for name in names {
                used |= self.matches(rule, name)?;
            }
            if !used {
                return Err(self.wrong(format!("{:?} matches no adapted layer", rule.1)));
            }
        }
        Ok(())
    }
}
