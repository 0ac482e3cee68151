use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::defaults::{HEAD_WIDTH, ends, eps};
use crate::files::read_small;
use crate::preprocess::{Filter, Resize};
use crate::{Activation, ClipConfig, ClipError, Preprocessor, TextConfig, VisionConfig};

/// `open_clip_config.json`. Supported keys are fields; the others are in `rest`, and must have no effect.
#[derive(Deserialize)]
struct File {
    model_cfg: ModelCfg,
    #[serde(default)]
    preprocess_cfg: PreprocessCfg,
}

#[derive(Deserialize)]
struct ModelCfg {
    embed_dim: usize,
    vision_cfg: VisionCfg,
    text_cfg: TextCfg,
    #[serde(default)]
    quick_gelu: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct VisionCfg {
    #[serde(default = "layers")]
    layers: Value,
    #[serde(default = "vision_width")]
    width: usize,
    head_width: Option<usize>,
    mlp_ratio: Option<f64>,
    #[serde(default = "patch_size")]
    patch_size: usize,
    #[serde(default = "image_size")]
    image_size: Side,
    norm_kwargs: Option<NormKwargs>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct TextCfg {
    #[serde(default = "context_length")]
    context_length: usize,
    #[serde(default = "vocab_size")]
    vocab_size: usize,
    #[serde(default = "text_width")]
    width: usize,
    #[serde(default = "text_heads")]
    heads: usize,
    #[serde(default = "layers")]
    layers: Value,
    mlp_ratio: Option<f64>,
    norm_kwargs: Option<NormKwargs>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormKwargs {
    #[serde(default = "eps")]
    eps: f64,
}

#[derive(Default, Deserialize)]
struct PreprocessCfg {
    size: Option<Side>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Box([usize; 2]),
}

fn layers() -> Value {
    json!(12)
}
fn vision_width() -> usize {
    768
}
fn patch_size() -> usize {
    16
}
fn image_size() -> Side {
    Side::Square(224)
}
fn context_length() -> usize {
    77
}
fn vocab_size() -> usize {
    49408
}
fn text_width() -> usize {
    512
}
fn text_heads() -> usize {
    8
}

/// Keys without an effect on inference, or without an effect of their own, whatever their value.
const SILENT: [&str; 21] = [
    "custom_text",
    "init_logit_scale",
    "nonscalar_logit_scale",
    "output_dict",
    "cast_dtype",
    "patch_dropout",
    "output_tokens",
    "attn_pooler_queries",
    "attn_pooler_heads",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "timm_drop",
    "timm_drop_path",
    "hf_model_pretrained",
    "hf_proj_type",
    "hf_pooler_type",
    "pad_id",
    "eos_id",
    "tokenizer_mode",
];

/// Values that have no effect.
const NEUTRAL: [(&str, &str); 5] = [
    ("pool_type", "argmax"),
    ("pool_type", "tok"),
    ("pos_embed_type", "learnable"),
    ("proj_type", "linear"),
    ("block_type", "default"),
];

/// Reads and checks an `open_clip_config.json`.
pub(in crate::checkpoint) fn from_file(
    path: &Path,
) -> Result<(ClipConfig, Preprocessor), ClipError> {
    let wrong = |problem: String| ClipError::file(path, problem);
    let file: File = serde_json::from_str(&read_small(path)?)
        .map_err(|error| wrong(format!("not an OpenCLIP configuration: {error}")))?;
    let config = file.model_cfg.convert().map_err(wrong)?;
    config.check().map_err(wrong)?;
    let preprocessor = file.preprocess_cfg.convert(&config.vision_config).map_err(wrong)?;
    preprocessor.check(&config.vision_config).map_err(wrong)?;
    Ok((config, preprocessor))
}

impl ModelCfg {
    fn convert(self) -> Result<ClipConfig, String> {
        let Self { embed_dim, vision_cfg: vision, text_cfg: text, quick_gelu, rest } = self;
        for (place, rest) in [("", &rest), ("vision_cfg.", &vision.rest), ("text_cfg.", &text.rest)]
        {
            if let Some((key, value)) =
                rest.iter().find(|(key, value)| !asks_for_nothing(key, value))
            {
                return Err(format!(
                    "model_cfg.{place}{key} is {value}, which is not supported: only OpenAI's \
                     architecture is (ViT and causal text transformer)"
                ));
            }
        }
        let hidden_act = if quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        let head_width = vision.head_width.unwrap_or(HEAD_WIDTH);
        let epsilon = |kwargs: Option<NormKwargs>| kwargs.map_or_else(eps, |kwargs| kwargs.eps);
        let text_config = TextConfig {
            vocab_size: text.vocab_size,
            hidden_size: text.width,
            intermediate_size: intermediate(text.width, text.mlp_ratio),
            num_hidden_layers: number("text_cfg.layers", &text.layers)?,
            num_attention_heads: text.heads,
            max_position_embeddings: text.context_length,
            hidden_act,
            layer_norm_eps: epsilon(text.norm_kwargs),
            ..ends(text.vocab_size)
        };
        let vision_config = VisionConfig {
            hidden_size: vision.width,
            intermediate_size: intermediate(vision.width, vision.mlp_ratio),
            num_hidden_layers: number("vision_cfg.layers", &vision.layers)?,
            num_attention_heads: vision.width.checked_div(head_width).unwrap_or(0),
            num_channels: 3,
            image_size: vision.image_size.square("model_cfg.vision_cfg.image_size")?,
            patch_size: vision.patch_size,
            hidden_act,
            layer_norm_eps: epsilon(vision.norm_kwargs),
        };
        Ok(ClipConfig {
            text_config,
            vision_config,
            projection_dim: embed_dim,
            ..ClipConfig::default()
        })
    }
}

impl PreprocessCfg {
    fn convert(self, vision: &VisionConfig) -> Result<Preprocessor, String> {
        let mut found = Preprocessor::torchvision(vision);
        if let Some(size) = self.size {
            let size = size.square("preprocess_cfg.size")?;
            if size != vision.image_size {
                let image = vision.image_size;
                return Err(format!("preprocess_cfg.size is {size}, but the model takes {image}"));
            }
        }
        found.image_mean = self.mean.unwrap_or(found.image_mean);
        found.image_std = self.std.unwrap_or(found.image_std);
        found.resample = match self.interpolation.as_deref() {
            None | Some("bicubic" | "random") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some(other) => {
                return Err(format!("preprocess_cfg.interpolation {other:?} is unknown"));
            }
        };
        found.resize = match self.resize_mode.as_deref() {
            None | Some("shortest") => found.resize,
            Some("squash") => Resize::Exact { width: found.crop_size, height: found.crop_size },
            Some(other) => {
                return Err(format!(
                    "preprocess_cfg.resize_mode {other:?} is not supported; \"shortest\" and \
                     \"squash\" are"
                ));
            }
        };
        Ok(found)
    }
}

impl Side {
    fn square(self, field: &str) -> Result<usize, String> {
        match self {
            Self::Square(side) => Ok(side),
            Self::Box([height, width]) if height == width => Ok(height),
            Self::Box([height, width]) => {
                Err(format!("{field} is {height} x {width}; only squares are supported"))
            }
        }
    }
}

fn asks_for_nothing(key: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || NEUTRAL.contains(&(key, text.as_str())),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    // The tokenizer is read from the folder's own files, or is CLIP's.
    empty || SILENT.contains(&key)
}

fn number(field: &str, value: &Value) -> Result<usize, String> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
        format!(
            "model_cfg.{field} is {value}; expected a number (a list is a ResNet's, which is not \
             supported)"
        )
    })
}

/// Computed as `int(width * mlp_ratio)`.
fn intermediate(width: usize, ratio: Option<f64>) -> usize {
    (width as f64 * ratio.unwrap_or(4.0)) as usize
}
