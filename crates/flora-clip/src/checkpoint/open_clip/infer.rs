use std::path::Path;

use super::defaults::{HEAD_WIDTH, ends};
use crate::checkpoint::names::Naming;
use crate::checkpoint::weights::Weights;
use crate::{Activation, ClipConfig, ClipError, TextConfig, VisionConfig};

/// The configuration of one of OpenAI's models, inferred from the shapes of its tensors: the archive has no other
/// description. This follows OpenAI's `build_model`; all of these models have QuickGELU and heads of width 64.
pub(in crate::checkpoint) fn infer(
    weights: &Weights,
    path: &Path,
) -> Result<ClipConfig, ClipError> {
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
