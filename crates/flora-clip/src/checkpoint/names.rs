//! Names of parameters: in burn's module tree, in Hugging Face's layout, in OpenCLIP's.

/// The naming scheme of the tensors in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `text_model.encoder.layers.0.self_attn.q_proj.weight`
    HuggingFace,
    /// `transformer.resblocks.0.attn.in_proj_weight`, OpenAI's names, which OpenCLIP kept. Its models
    /// with `custom_text` have the text tower below `text.`.
    OpenClip { text: &'static str },
}

/// The location of a parameter in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The name of the tensor.
    pub(super) name: String,
    /// The third of its rows that holds the parameter: OpenCLIP keeps query, key and value in one tensor.
    pub(super) third: Option<usize>,
    /// Whether it is the transpose of Hugging Face's tensor.
    pub(super) transposed: bool,
}

impl Naming {
    /// Detects the naming scheme from the names of a file.
    pub(super) fn detect<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let (mut open_clip, mut text) = (false, "");
        for name in names {
            match name {
                "text_model.embeddings.token_embedding.weight"
                | "vision_model.embeddings.class_embedding" => return Ok(Self::HuggingFace),
                "visual.conv1.weight" | "token_embedding.weight" => open_clip = true,
                "text.token_embedding.weight" => (open_clip, text) = (true, "text."),
                "logit_bias" => {
                    return Err(
                        "a SigLIP model (it has a logit_bias); only CLIP is supported".into()
                    );
                }
                _ if name.starts_with("visual.layer1.") || name.starts_with("visual.attnpool.") => {
                    return Err("a CLIP whose vision tower is a ResNet; only vision transformers \
                                (ViT) are supported"
                        .into());
                }
                _ if name.starts_with("visual.trunk.")
                    || name.starts_with("text.transformer.embeddings.") =>
                {
                    return Err("an OpenCLIP model on a timm or Hugging Face tower; only its own \
                                transformers are supported"
                        .into());
                }
                _ => {}
            }
        }
        if open_clip {
            Ok(Self::OpenClip { text })
        } else {
            Err("no tensors of a CLIP in it, neither by Hugging Face's nor by OpenCLIP's names"
                .into())
        }
    }

    /// The location of the parameter with this Hugging Face name.
    pub(super) fn source(self, name: &str) -> Source {
        let whole = |name: String| Source { name, third: None, transposed: false };
        let Self::OpenClip { text } = self else { return whole(name.to_owned()) };
        if let Some(rest) = name.strip_prefix("text_model.encoder.layers.") {
            return block(format!("{text}transformer.resblocks."), rest);
        }
        if let Some(rest) = name.strip_prefix("vision_model.encoder.layers.") {
            return block("visual.transformer.resblocks.".into(), rest);
        }
        let transposed = |name: String| Source { transposed: true, ..whole(name) };
        match name {
            "text_projection.weight" => return transposed(format!("{text}text_projection")),
            "visual_projection.weight" => return transposed("visual.proj".into()),
            _ => {}
        }
        for (theirs, ours) in [
            ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
            ("text_model.final_layer_norm.weight", "ln_final.weight"),
            ("text_model.final_layer_norm.bias", "ln_final.bias"),
        ] {
            if name == theirs {
                return whole(format!("{text}{ours}"));
            }
        }
        whole(match name {
            "vision_model.embeddings.class_embedding" => "visual.class_embedding".into(),
            "vision_model.embeddings.patch_embedding.weight" => "visual.conv1.weight".into(),
            "vision_model.embeddings.position_embedding.weight" => {
                "visual.positional_embedding".into()
            }
            _ => name
                .replace("vision_model.pre_layrnorm", "visual.ln_pre")
                .replace("vision_model.post_layernorm", "visual.ln_post"),
        })
    }

    /// Whether a tensor without a parameter is known to be a constant.
    pub(super) fn is_constant(self, name: &str) -> bool {
        match self {
            // Constants 0, 1, 2, … that transformers before 4.31 saved with the weights.
            Self::HuggingFace => name.ends_with(".embeddings.position_ids"),
            // The mask is computed; scripted modules have it in every block.
            Self::OpenClip { .. } => {
                name.rsplit('.').next() == Some("attn_mask")
                    || matches!(name, "input_resolution" | "context_length" | "vocab_size")
            }
        }
    }
}

/// `0.mlp.fc1.weight` of Hugging Face's block in an OpenCLIP tower.
fn block(tower: String, rest: &str) -> Source {
    let (index, part) = rest.split_once('.').unwrap_or((rest, ""));
    for (third, projection) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        let field = part.strip_prefix("self_attn.").and_then(|part| part.strip_prefix(projection));
        if let Some(field) = field.and_then(|field| field.strip_prefix('.')) {
            let name = format!("{tower}{index}.attn.in_proj_{field}");
            return Source { name, third: Some(third), transposed: false };
        }
    }
    let part = part
        .replace("self_attn.", "attn.")
        .replace("layer_norm", "ln_")
        .replace("mlp.fc1", "mlp.c_fc")
        .replace("mlp.fc2", "mlp.c_proj");
    Source { name: format!("{tower}{index}.{part}"), third: None, transposed: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_clip_names() {
        let naming = Naming::OpenClip { text: "text." };
        let source = naming.source("text_model.encoder.layers.11.self_attn.v_proj.bias");
        assert_eq!(source.name, "text.transformer.resblocks.11.attn.in_proj_bias");
        assert_eq!(source.third, Some(2));
        for (theirs, ours) in [
            (
                "vision_model.encoder.layers.0.self_attn.out_proj.weight",
                "visual.transformer.resblocks.0.attn.out_proj.weight",
            ),
            (
                "vision_model.encoder.layers.3.layer_norm2.bias",
                "visual.transformer.resblocks.3.ln_2.bias",
            ),
            (
                "text_model.encoder.layers.3.mlp.fc2.bias",
                "text.transformer.resblocks.3.mlp.c_proj.bias",
            ),
            ("vision_model.post_layernorm.weight", "visual.ln_post.weight"),
            ("text_projection.weight", "text.text_projection"),
            ("logit_scale", "logit_scale"),
        ] {
            assert_eq!(naming.source(theirs).name, ours);
        }
    }

    #[test]
    fn other_models_are_refused_by_kind() {
        for (name, kind) in [
            ("visual.layer1.0.conv1.weight", "ResNet"),
            ("logit_bias", "SigLIP"),
            ("visual.trunk.blocks.0.norm1.weight", "timm"),
            ("encoder.weight", "no tensors of a CLIP"),
        ] {
            assert!(Naming::detect([name].into_iter()).unwrap_err().contains(kind), "{name}");
        }
    }
}
