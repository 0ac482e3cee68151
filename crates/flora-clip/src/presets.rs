//! The configurations of known CLIPs.

use crate::{ClipConfig, TextConfig, VisionConfig};

/// The names of known CLIPs.
pub const PRESETS: [&str; 5] = [
    "clip-nano",
    "vit-base-patch32",
    "vit-base-patch16",
    "vit-large-patch14",
    "vit-large-patch14-336",
];

/// OpenCLIP's names for some of the [`PRESETS`], in lower case, and the presets that they stand for.
pub const SHORT_NAMES: [(&str, &str); 4] = [
    ("vit-b-32", "vit-base-patch32"),
    ("vit-b-16", "vit-base-patch16"),
    ("vit-l-14", "vit-large-patch14"),
    ("vit-l-14-336", "vit-large-patch14-336"),
];

/// Every name that [`ClipConfig::preset`] knows, for messages: `clip-nano, vit-base-patch32 (vit-b-32), ...`.
pub fn preset_names() -> String {
    let shown = |name: &str| match SHORT_NAMES.iter().find(|(_, long)| *long == name) {
        Some((short, long)) => format!("{long} ({short})"),
        None => name.to_owned(),
    };
    PRESETS.map(shown).join(", ")
}

impl ClipConfig {
    /// The configuration of a known CLIP, by one of the [`PRESETS`] or of the [`SHORT_NAMES`].
    pub fn preset(name: &str) -> Option<Self> {
        let long = SHORT_NAMES.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
        Some(match long.unwrap_or(name) {
            "clip-nano" => Self::clip_nano(),
            "vit-base-patch32" => Self::vit_base_patch32(),
            "vit-base-patch16" => Self::vit_base_patch16(),
            "vit-large-patch14" => Self::vit_large_patch14(),
            "vit-large-patch14-336" => Self::vit_large_patch14_336(),
            _ => return None,
        })
    }

    /// ViT-B/32 (`openai/clip-vit-base-patch32`), the FLoRA paper's model.
    pub fn vit_base_patch32() -> Self {
        Self::default()
    }

    /// ViT-B/16 (`openai/clip-vit-base-patch16`).
    pub fn vit_base_patch16() -> Self {
        let mut config = Self::default();
        config.vision_config.patch_size = 16;
        config
    }

    /// ViT-L/14 (`openai/clip-vit-large-patch14`).
    pub fn vit_large_patch14() -> Self {
        Self {
            projection_dim: 768,
            text_config: TextConfig {
                hidden_size: 768,
                intermediate_size: 3072,
                num_attention_heads: 12,
                ..TextConfig::default()
            },
            vision_config: VisionConfig {
                hidden_size: 1024,
                intermediate_size: 4096,
                num_hidden_layers: 24,
                num_attention_heads: 16,
                patch_size: 14,
                ..VisionConfig::default()
            },
            ..Self::default()
        }
    }

    /// ViT-L/14@336px (`openai/clip-vit-large-patch14-336`).
    pub fn vit_large_patch14_336() -> Self {
        let mut config = Self::vit_large_patch14();
        config.vision_config.image_size = 336;
        config
    }

    /// clip-nano, flora's small CLIP: 6.25 M parameters, 64-pixel images.
    pub fn clip_nano() -> Self {
        Self {
            projection_dim: 192,
            text_config: TextConfig {
                vocab_size: 8192,
                hidden_size: 192,
                intermediate_size: 768,
                num_hidden_layers: 4,
                num_attention_heads: 3,
                max_position_embeddings: 24,
                bos_token_id: 8190,
                eos_token_id: 8191,
                ..TextConfig::default()
            },
            vision_config: VisionConfig {
                hidden_size: 192,
                intermediate_size: 768,
                num_hidden_layers: 6,
                num_attention_heads: 3,
                image_size: 64,
                patch_size: 16,
                ..VisionConfig::default()
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_consistent() {
        for name in PRESETS {
            ClipConfig::preset(name).unwrap().check().unwrap();
        }
        assert!(ClipConfig::preset("vit-huge").is_none());
        for (short, long) in SHORT_NAMES {
            assert!(PRESETS.contains(&long), "{long}");
            assert_eq!(ClipConfig::preset(short), ClipConfig::preset(long));
        }
        assert!(preset_names().starts_with("clip-nano, vit-base-patch32 (vit-b-32), "));
    }
}
