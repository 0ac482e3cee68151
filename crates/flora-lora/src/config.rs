use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TargetModules;

/// The configuration of adapters: PEFT's names, and what the FLoRA paper needs in addition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the adapters.
    pub r: usize,
    /// Numerator of the scale `s` in `y = x W + b + s (x A) B`.
    pub lora_alpha: f64,
    /// How `s` follows from `lora_alpha` and `r`.
    pub scaling: Scaling,
    /// The layers to adapt: a list of names or ends of names, or a regular expression.
    pub target_modules: TargetModules,
    /// Layers among those that are not adapted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<TargetModules>,
    /// The towers in which layers are selected.
    pub towers: Towers,
    /// The initialisation of `A`. `B` is zero, so that an adapter changes nothing before its first step.
    pub init: Init,
    /// Probability that an input of the adapter is dropped in training, in `[0, 1)`.
    #[serde(alias = "dropout")]
    pub lora_dropout: f64,
    /// The rank of some layers, if it differs: a regular expression for the end of their names, and the rank.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// The `lora_alpha` of some layers, if it differs, in the same form.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl Default for LoraConfig {
    /// The FLoRA paper's adapter: r = 2, alpha = 32 unscaled, `out_proj` of the text tower.
    fn default() -> Self {
        Self {
            r: 2,
            lora_alpha: 32.0,
            scaling: Scaling::Unscaled,
            target_modules: ["self_attn.out_proj"].into(),
            exclude_modules: None,
            towers: Towers::Text,
            init: Init::GaussianSqrt,
            lora_dropout: 0.0,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

/// How the scale `s` follows from `lora_alpha` (here `a`) and `r`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// `s = a / r`, as in the LoRA paper and PEFT.
    Standard,
    /// `s = a / sqrt(r)`, as in rsLoRA ([arXiv 2312.03732](https://arxiv.org/abs/2312.03732)) and
    /// PEFT's `use_rslora`.
    RsLora,
    /// `s = a`, as in FLoRA's experiments. Equals PEFT with `lora_alpha = a r`.
    Unscaled,
}

/// The towers of a two-tower model, by the prefixes that Hugging Face's CLIP uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Towers {
    /// `text_model.*` and `text_projection`.
    Text,
    /// `vision_model.*` and `visual_projection`.
    Vision,
    /// Every layer, whatever its prefix; also for modules without towers.
    Both,
}

/// The distribution of `A`, of shape `[in, r]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// `U(-1/sqrt(in), 1/sqrt(in))`: PEFT's default (`kaiming_uniform_` with `a = sqrt(5)`).
    KaimingUniform,
    /// `N(0, 1/r^2)`, standard deviation `1/r`: PEFT's `init_lora_weights = "gaussian"`.
    Gaussian,
    /// `N(0, 1/r)`, standard deviation `1/sqrt(r)`: FLoRA's experiments.
    GaussianSqrt,
}

impl LoraConfig {
    /// The scale `s` in `y = x W + b + s (x A) B`, for layers that no pattern matches.
    pub fn scale(&self) -> f64 {
        match self.scaling {
            Scaling::Standard => self.lora_alpha / self.r as f64,
            Scaling::RsLora => self.lora_alpha / (self.r as f64).sqrt(),
            Scaling::Unscaled => self.lora_alpha,
        }
    }
}

impl Towers {
    /// Whether the layer with this name is in these towers.
    pub fn contain(self, name: &str) -> bool {
        match self {
            Self::Text => name.starts_with("text_model.") || name == "text_projection",
            Self::Vision => name.starts_with("vision_model.") || name == "visual_projection",
            Self::Both => true,
        }
    }

    /// Whether the parameter with this name is in these towers.
    pub(crate) fn contain_parameter(self, name: &str) -> bool {
        self.contain(name) || name.rsplit_once('.').is_some_and(|(layer, _)| self.contain(layer))
    }
}

impl std::fmt::Display for Towers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Vision => "vision",
            Self::Both => "text and vision",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_those_of_the_papers() {
        let mut config = LoraConfig { r: 4, lora_alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(config.scale(), 8.0);
        config.scaling = Scaling::Standard;
        assert_eq!(config.scale(), 2.0);
        config.scaling = Scaling::RsLora;
        assert_eq!(config.scale(), 4.0);
    }
}
