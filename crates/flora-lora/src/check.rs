//! Validation of a configuration before there is a module.

use flora_core::settings;

use crate::layers::LayerConfigs;
use crate::{LoraConfig, LoraError, TargetMatcher};

impl LoraConfig {
    /// The matcher that selects the layers to adapt, by name.
    ///
    /// # Errors
    ///
    /// [`LoraError::Config`] if `target_modules` is empty, or if it or `exclude_modules` is an unsupported expression.
    pub fn matcher(&self) -> Result<TargetMatcher, LoraError> {
        TargetMatcher::new(self)
    }

    /// Checks the values that do not depend on a module.
    ///
    /// # Errors
    ///
    /// [`LoraError::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<(), LoraError> {
        self.checked_matcher().map(drop)
    }

    /// [`check`](Self::check), and the matcher that it builds.
    pub(crate) fn checked_matcher(&self) -> Result<TargetMatcher, LoraError> {
        let wrong = |field, problem: String| Err(LoraError::Config { field, problem });
        if self.r == 0 {
            return wrong("r", "rank 0 trains nothing; choose 1 or more".into());
        }
        if !self.lora_alpha.is_finite() || self.lora_alpha == 0.0 {
            return wrong(
                "lora_alpha",
                format!(
                    "{} would switch the adapter off; choose a finite number other than 0",
                    self.lora_alpha
                ),
            );
        }
        if let Err(problem) = settings::check_single(self.lora_alpha) {
            return wrong("lora_alpha", problem);
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return wrong("lora_dropout", format!("{} is not in [0, 1)", self.lora_dropout));
        }
        LayerConfigs::new(self)?;
        self.matcher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_values_are_refused_by_field() {
        let cases = [
            (LoraConfig { r: 0, ..Default::default() }, "lora.r"),
            (LoraConfig { lora_alpha: f64::NAN, ..Default::default() }, "lora.lora_alpha"),
            (LoraConfig { lora_alpha: 1e300, ..Default::default() }, "lora.lora_alpha: 1e300"),
            (
                LoraConfig { alpha_pattern: [("a".into(), 1e-300)].into(), ..Default::default() },
                "lora.alpha_pattern: \"a\": 1e-300 does not fit",
            ),
            (LoraConfig { lora_dropout: 1.0, ..Default::default() }, "lora.lora_dropout"),
            (
                LoraConfig { target_modules: Vec::new().into(), ..Default::default() },
                "lora.target_modules",
            ),
            (
                LoraConfig { rank_pattern: [("a".into(), 0)].into(), ..Default::default() },
                "lora.rank_pattern",
            ),
            (
                LoraConfig { rank_pattern: [("(a".into(), 1)].into(), ..Default::default() },
                "lora.rank_pattern",
            ),
            (
                LoraConfig { alpha_pattern: [("a".into(), 0.0)].into(), ..Default::default() },
                "lora.alpha_pattern",
            ),
        ];
        for (config, field) in cases {
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }
}
