//! The configurations of known CLIPs.

use crate::{ClipConfig, TextConfig, VisionConfig};

/// The names that [`ClipConfig::preset`] knows.
pub const PRESETS: [&str; 5] = [
    "clip-nano",
    "vit-base-patch32",
    "vit-base-patch16",
    "vit-large-patch14",
    "vit-large-patch14-336",
];

impl ClipConfig {
    /// The configuration of a known CLIP, by one of the [`PRESETS`].
    pub fn preset(name: &str) -> Option<Self> {
        Some(match name {
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

    /// clip-nano, the small CLIP that ships with flora: 6.25 M parameters, 64-pixel images.
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
    }
}
