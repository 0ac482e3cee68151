//! OpenCLIP's `open_clip_config.json`, and the shape of OpenAI's models, which have none.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::names::Naming;
use super::weights::Weights;
use crate::files::read_small;
use crate::preprocess::{Filter, Resize};
use crate::{Activation, ClipConfig, ClipError, Preprocessor, TextConfig, VisionConfig};

/// The width of an attention head where nothing else is said, in OpenCLIP and in OpenAI's models.
const HEAD_WIDTH: usize = 64;

/// `open_clip_config.json`. Keys that are read are fields; the others are in `rest`, and must ask for
/// nothing.
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

fn eps() -> f64 {
    1e-5
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

/// Keys that say nothing about inference, or nothing by themselves, whatever their value.
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

/// Values that are as good as none.
const NEUTRAL: [(&str, &str); 5] = [
    ("pool_type", "argmax"),
    ("pool_type", "tok"),
    ("pos_embed_type", "learnable"),
    ("proj_type", "linear"),
    ("block_type", "default"),
];

/// Read and check an `open_clip_config.json`.
pub(super) fn from_file(path: &Path) -> Result<(ClipConfig, Preprocessor), ClipError> {
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

/// As `int(width * mlp_ratio)`.
fn intermediate(width: usize, ratio: Option<f64>) -> usize {
    (width as f64 * ratio.unwrap_or(4.0)) as usize
}

/// Start and end token: the last two ids, as in CLIP's vocabulary and in those cut from it.
fn ends(vocab_size: usize) -> TextConfig {
    let end = u32::try_from(vocab_size.saturating_sub(1)).unwrap_or(u32::MAX);
    TextConfig { bos_token_id: end.saturating_sub(1), eos_token_id: end, ..TextConfig::default() }
}

/// The configuration of one of OpenAI's models, from the shapes of its tensors: the archive has no
/// other. As OpenAI's `build_model` does it; every one of them has QuickGELU and heads of 64.
pub(super) fn infer(weights: &Weights, path: &Path) -> Result<ClipConfig, ClipError> {
    let Naming::OpenClip { text } = weights.naming() else {
        let problem = "Hugging Face's names, but no config.json beside it; put it there";
        return Err(ClipError::file(path, problem));
    };
    let extent = |name: &str, axis: usize| {
        weights.shape(name).and_then(|shape| shape.get(axis).copied()).ok_or_else(|| {
            ClipError::Tensor {
                path: path.display().to_string(),
                tensor: name.to_owned(),
                problem: "missing, or of another shape than in OpenAI's models".into(),
            }
        })
    };
    let layers = |tower: &str| {
        let blocks = weights.names().filter(|name| {
            name.strip_prefix(tower).is_some_and(|rest| rest.ends_with(".attn.in_proj_weight"))
        });
        blocks.count()
    };
    let positions = extent("visual.positional_embedding", 0)?;
    let patch_size = extent("visual.conv1.weight", 3)?;
    let vocab_size = extent(&format!("{text}token_embedding.weight"), 0)?;
    let (vision_width, text_width) =
        (extent("visual.conv1.weight", 0)?, extent(&format!("{text}ln_final.weight"), 0)?);
    let config = ClipConfig {
        projection_dim: extent(&format!("{text}text_projection"), 1)?,
        text_config: TextConfig {
            vocab_size,
            hidden_size: text_width,
            intermediate_size: text_width.saturating_mul(4),
            num_hidden_layers: layers(&format!("{text}transformer.resblocks.")),
            num_attention_heads: text_width / HEAD_WIDTH,
            max_position_embeddings: extent(&format!("{text}positional_embedding"), 0)?,
            hidden_act: Activation::QuickGelu,
            ..ends(vocab_size)
        },
        vision_config: VisionConfig {
            hidden_size: vision_width,
            intermediate_size: vision_width.saturating_mul(4),
            num_hidden_layers: layers("visual.transformer.resblocks."),
            num_attention_heads: vision_width / HEAD_WIDTH,
            num_channels: extent("visual.conv1.weight", 1)?,
            image_size: positions.saturating_sub(1).isqrt().saturating_mul(patch_size),
            patch_size,
            hidden_act: Activation::QuickGelu,
            ..VisionConfig::default()
        },
        ..ClipConfig::default()
    };
    config.check().map_err(|problem| {
        ClipError::file(path, format!("its tensors are not those of a CLIP: {problem}"))
    })?;
    Ok(config)
}

/// The configuration as `open_clip_config.json` has it.
pub(super) fn to_json(config: &ClipConfig, preprocessor: &Preprocessor) -> Result<String, String> {
    let (text, vision) = (&config.text_config, &config.vision_config);
    if text.hidden_act != vision.hidden_act {
        return Err("OpenCLIP has one activation for both towers, but these have two".into());
    }
    let interpolation = match preprocessor.resample {
        Filter::Bicubic => "bicubic",
        Filter::Bilinear => "bilinear",
        other => return Err(format!("OpenCLIP has no {other:?} resampling")),
    };
    let resize_mode = match preprocessor.resize {
        Resize::ShortestEdge(side) if side == preprocessor.crop_size => "shortest",
        Resize::Exact { .. } => "squash",
        Resize::ShortestEdge(_) => {
            return Err("OpenCLIP cannot resize to more than it crops".into());
        }
    };
    let mut document = json!({
        "model_cfg": {
            "embed_dim": config.projection_dim,
            "quick_gelu": text.hidden_act == Activation::QuickGelu,
            "vision_cfg": {
                "image_size": vision.image_size,
                "layers": vision.num_hidden_layers,
                "width": vision.hidden_size,
                "head_width": vision.hidden_size / vision.num_attention_heads,
                "patch_size": vision.patch_size,
            },
            "text_cfg": {
                "context_length": text.max_position_embeddings,
                "vocab_size": text.vocab_size,
                "width": text.hidden_size,
                "heads": text.num_attention_heads,
                "layers": text.num_hidden_layers,
            },
        },
        "preprocess_cfg": {
            "mean": preprocessor.image_mean,
            "std": preprocessor.image_std,
            "interpolation": interpolation,
            "resize_mode": resize_mode,
        },
    });
    // Older releases of OpenCLIP do not know these keys: only what differs is written.
    for (tower, width, intermediate, epsilon) in [
        ("vision_cfg", vision.hidden_size, vision.intermediate_size, vision.layer_norm_eps),
        ("text_cfg", text.hidden_size, text.intermediate_size, text.layer_norm_eps),
    ] {
        let tower = &mut document["model_cfg"][tower];
        if intermediate != 4 * width {
            tower["mlp_ratio"] = ratio(width, intermediate).into();
        }
        if epsilon != eps() {
            tower["norm_kwargs"] = json!({ "eps": epsilon });
        }
    }
    Ok(serde_json::to_string_pretty(&document).expect("plain JSON") + "\n")
}

/// The ratio that gives `intermediate` back when it is multiplied and truncated.
fn ratio(width: usize, intermediate: usize) -> f64 {
    let ratio = intermediate as f64 / width as f64;
    if (width as f64 * ratio) as usize == intermediate { ratio } else { ratio.next_up() }
}
