use serde_json::json;

use super::defaults::eps;
use crate::preprocess::{Filter, Resize};
use crate::{Activation, ClipConfig, Preprocessor};

/// The configuration in the format of `open_clip_config.json`.
pub(in crate::checkpoint) fn to_json(
    config: &ClipConfig,
    preprocessor: &Preprocessor,
) -> Result<String, String> {
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
    // Older releases of OpenCLIP do not know these keys, so only values other than the defaults are written.
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

/// The ratio that yields `intermediate` when it is multiplied and truncated.
fn ratio(width: usize, intermediate: usize) -> f64 {
    let ratio = intermediate as f64 / width as f64;
    if (width as f64 * ratio) as usize == intermediate { ratio } else { ratio.next_up() }
}
