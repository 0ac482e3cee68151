//! The configuration of a CLIP, in the layout of Hugging Face's `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::read_small;
use crate::{Activation, ClipError};

/// The configuration of both towers and their shared space. Unknown keys are ignored; missing ones have the defaults of
/// `transformers.CLIPConfig` (ViT-B/32).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// The text tower.
    pub text_config: TextConfig,
    /// The vision tower.
    pub vision_config: VisionConfig,
    /// Width of the space shared by images and texts.
    pub projection_dim: usize,
    /// Logarithm of the initial temperature factor.
    pub logit_scale_init_value: f64,
    /// Always `clip`; other kinds of models are rejected.
    pub model_type: String,
}

/// The text tower: a causal transformer over byte-pair tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Longest sequence, including start and end tokens.
    pub max_position_embeddings: usize,
    /// Non-linearity of the feed-forward layers.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Id of the start token.
    pub bos_token_id: u32,
    /// Id of the end token, at whose position the text's features are read. Checkpoints from before `transformers` 4.31
    /// have 2 here, which means "the largest id".
    pub eos_token_id: u32,
}

/// The vision tower: a transformer over square patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Number of colour channels.
    pub num_channels: usize,
    /// Side of the square input image, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Non-linearity of the feed-forward layers.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            text_config: TextConfig::default(),
            vision_config: VisionConfig::default(),
            projection_dim: 512,
            logit_scale_init_value: 2.6592,
            model_type: "clip".into(),
        }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            bos_token_id: 49406,
            eos_token_id: 49407,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not JSON, is not the configuration of a CLIP, or has inconsistent sizes; the
    /// message names the file and the field.
    pub fn from_file(path: &Path) -> Result<Self, ClipError> {
        let wrong = |problem: &dyn std::fmt::Display| {
            ClipError::file(path, format!("not a CLIP configuration: {problem}"))
        };
        let mut document: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&read_small(path)?).map_err(|error| wrong(&error))?;
        // transformers 4.20 to 4.30 wrote each tower twice; the second one counts.
        for tower in ["text_config", "vision_config"] {
            if let Some(again @ serde_json::Value::Object(_)) =
                document.remove(&format!("{tower}_dict"))
            {
                document.insert(tower.to_owned(), again);
            }
        }
        if !["model_type", "text_config", "vision_config"]
            .iter()
            .any(|key| document.contains_key(*key))
        {
            return Err(wrong(&"it has neither model_type nor text_config nor vision_config"));
        }
        for (field, meaning) in [
            ("quantization_config", "quantized weights; save the model again without quantization"),
            ("transformers_weights", "weights in a file of this name; call it model.safetensors"),
        ] {
            let said = document.get(field).filter(|value| !value.is_null());
            if said.is_some_and(|value| value != "model.safetensors") {
                return Err(wrong(&format!("{field} asks for {meaning}, and remove the field")));
            }
        }
        let mut document = document.into();
        tidy(&mut document);
        let config: Self =
            serde_path_to_error::deserialize(document).map_err(|error| wrong(&error))?;
        config.check().map_err(|problem| ClipError::file(path, problem))?;
        Ok(config)
    }

    /// Checks that this configuration is possible.
    ///
    /// # Errors
    ///
    /// The first problem found, as a sentence that starts with the field's name.
    pub fn check(&self) -> Result<(), String> {
        if self.model_type != "clip" {
            return Err(format!(
                "model_type is {:?}; only \"clip\" models are supported",
                self.model_type
            ));
        }
        let (text, vision) = (&self.text_config, &self.vision_config);
        for (field, value, most) in [
            ("projection_dim", self.projection_dim, 1 << 16),
            ("text_config.vocab_size", text.vocab_size, 1 << 24),
            ("text_config.hidden_size", text.hidden_size, 1 << 16),
            ("text_config.intermediate_size", text.intermediate_size, 1 << 18),
            ("text_config.num_hidden_layers", text.num_hidden_layers, 1 << 8),
            ("text_config.num_attention_heads", text.num_attention_heads, 1 << 10),
            ("text_config.max_position_embeddings", text.max_position_embeddings, 1 << 16),
            ("vision_config.hidden_size", vision.hidden_size, 1 << 16),
            ("vision_config.intermediate_size", vision.intermediate_size, 1 << 18),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers, 1 << 8),
            ("vision_config.num_attention_heads", vision.num_attention_heads, 1 << 10),
            ("vision_config.image_size", vision.image_size, 1 << 14),
            ("vision_config.patch_size", vision.patch_size, 1 << 14),
        ] {
            if value == 0 || value > most {
                return Err(format!("{field} is {value}; expected 1 to {most}"));
            }
        }
        if vision.num_channels != 3 {
            return Err(format!(
                "vision_config.num_channels is {}; expected 3",
                vision.num_channels
            ));
        }
        for (tower, width, heads) in [
            ("text_config", text.hidden_size, text.num_attention_heads),
            ("vision_config", vision.hidden_size, vision.num_attention_heads),
        ] {
            if !width.is_multiple_of(heads) {
                return Err(format!(
                    "{tower}.num_attention_heads is {heads}, which does not divide hidden_size {width}"
                ));
            }
        }
        for (field, epsilon) in [
            ("text_config.layer_norm_eps", text.layer_norm_eps),
            ("vision_config.layer_norm_eps", vision.layer_norm_eps),
        ] {
            if !(epsilon > 0.0 && epsilon < 1.0) {
                return Err(format!("{field} is {epsilon}; expected a small positive number"));
            }
        }
        if vision.patch_size > vision.image_size {
            return Err(format!(
                "vision_config.patch_size {} exceeds image_size {}",
                vision.patch_size, vision.image_size
            ));
        }
        for (field, id) in [
            ("text_config.bos_token_id", text.bos_token_id),
            ("text_config.eos_token_id", text.eos_token_id),
        ] {
            // Configurations before transformers 4.31 have 0 and 2 here, whatever the vocabulary.
            if id > 2 && id as usize >= text.vocab_size {
                return Err(format!(
                    "{field} is {id}, outside the vocabulary of {}",
                    text.vocab_size
                ));
            }
        }
        Ok(())
    }
}

/// Removes nulls, which count as missing, and turns `[s, s]` into a square of side s.
fn tidy(value: &mut serde_json::Value) {
    let serde_json::Value::Object(fields) = value else { return };
    fields.retain(|_, value| !value.is_null());
    for (key, value) in fields.iter_mut() {
        let square = match value.as_array().map(Vec::as_slice) {
            Some([height, width]) if height == width => Some(height.clone()),
            _ => None,
        };
        match square {
            Some(side) if matches!(key.as_str(), "image_size" | "patch_size") => *value = side,
            // The towers; no deeper level is read.
            _ if key.ends_with("_config") => tidy(value),
            _ => {}
        }
    }
}

impl VisionConfig {
    /// Patches along one side of the image. As in `transformers`, a remainder at the right and bottom edge is ignored.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_the_field() {
        let mut config = ClipConfig::clip_nano();
        config.text_config.num_attention_heads = 5;
        assert!(config.check().unwrap_err().contains("text_config.num_attention_heads"));
        let config: ClipConfig = serde_json::from_str(r#"{"model_type": "siglip"}"#).unwrap();
        assert!(config.check().unwrap_err().contains("siglip"));
    }
}
