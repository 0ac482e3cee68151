//! Adapters of one tower of a CLIP whose names do not include the tower.
//!
//! `CLIPTextModel` and `CLIPVisionModel` of transformers since 5.6 name a layer `encoder.layers.0.self_attn.q_proj`;
//! before, and in a whole CLIP, it is below `text_model.` or `vision_model.`.

use std::collections::BTreeMap;

use flora_core::{HostTensor, ParameterRecord, RecordError};

use super::files::CONFIG_FILE;
use super::{PeftAdapter, tensors};
use crate::pattern::{enclose, escape};
use crate::{AdaptableModule, LoraConfig, LoraError, TargetModules, Towers};

impl PeftAdapter {
    /// The adapter with the layer names of `module`.
    ///
    /// Adapters of one tower may lack the prefix `text_model.` or `vision_model.`, and their file may not name the
    /// tower (`auto_mapping.base_model_class`). Then the tower is the one whose layers have these names and shapes, if
    /// the other tower's do not. An adapter with the module's names is returned unchanged.
    ///
    /// # Errors
    ///
    /// [`LoraError::AdapterConfig`] if the adapter fits both towers.
    pub fn fitted<M: AdaptableModule>(self, module: &mut M) -> Result<Self, LoraError> {
        let dims: BTreeMap<String, [usize; 2]> = module
            .adaptable_layers()
            .into_iter()
            .map(|(name, layer)| (name, layer.dims()))
            .collect();
        let matrix = |(name, tensor): (_, &HostTensor)| {
            tensors::split(name).map(|(layer, axis)| (layer, axis, tensor.shape().to_vec()))
        };
        let matrices: Vec<_> = self.record.iter().filter_map(matrix).collect();
        let known = matrices.iter().any(|(layer, ..)| dims.contains_key(*layer));
        if known || matrices.is_empty() {
            return Ok(self);
        }
        let fits = |tower: Towers| {
            let prefix = prefix(tower);
            matrices.iter().all(|(layer, axis, shape)| {
                let [input, output] = match dims.get(&format!("{prefix}{layer}")) {
                    Some(dims) => *dims,
                    None => return false,
                };
                // `A` is `[r, in]`, `B` `[out, r]`.
                shape.get(1 - axis) == Some(&[input, output][*axis])
            })
        };
        match (fits(Towers::Text), fits(Towers::Vision)) {
            (true, true) => Err(LoraError::AdapterConfig {
                path: CONFIG_FILE.to_owned(),
                field: "auto_mapping".to_owned(),
                problem: format!(
                    "it does not name the tower of {:?}, and the adapter fits both; add \
                     \"auto_mapping\": {{\"base_model_class\": \"CLIPTextModel\"}}, or \
                     \"CLIPVisionModel\"",
                    matrices.first().map_or("", |(layer, ..)| layer)
                ),
            }),
            (true, false) => Ok(self.below(Towers::Text)?),
            (false, true) => Ok(self.below(Towers::Vision)?),
            // Attaching reports the problem.
            (false, false) => Ok(self),
        }
    }

    /// Whether no name includes a tower.
    pub fn names_no_tower(&self) -> bool {
        let mut names = self.record.names().chain(self.extras.names());
        !names.any(|name| {
            let layer = tensors::split(name).map_or(name, |(layer, _)| layer);
            [Towers::Text, Towers::Vision].iter().any(|tower| tower.contain(layer))
        })
    }

    /// The adapter in a whole CLIP, with all its layers below `tower`.
    pub(super) fn below(self, tower: Towers) -> Result<Self, RecordError> {
        let prefix = prefix(tower);
        let renamed = |record: &ParameterRecord| {
            let mut renamed = ParameterRecord::new();
            for (name, tensor) in record.iter() {
                renamed.insert(format!("{prefix}{name}"), tensor.clone())?;
            }
            Ok(renamed)
        };
        let modules = |modules: TargetModules| match modules {
            // The ends of names do not change.
            list @ TargetModules::List(_) => list,
            TargetModules::Pattern(pattern) => {
                TargetModules::Pattern(enclose(&escape(prefix), &moved(&pattern, prefix), ""))
            }
        };
        Ok(Self {
            record: renamed(&self.record)?,
            extras: renamed(&self.extras)?,
            config: LoraConfig {
                towers: tower,
                target_modules: modules(self.config.target_modules),
                exclude_modules: self.config.exclude_modules.map(modules),
                rank_pattern: keys(self.config.rank_pattern, prefix),
                alpha_pattern: keys(self.config.alpha_pattern, prefix),
                ..self.config
            },
            ..self
        })
    }
}

/// The keys of a `rank_pattern` or `alpha_pattern` for names that begin with `prefix`. PEFT matches `(.*\.)?(key)$`
/// from the beginning of a name without it.
fn keys<T>(map: BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    let key =
        |key: String| match key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            // No part of the prefix ends in it, and unchanged it is clearer in messages.
            true => key,
            false => enclose(&format!(r"^{}(?:.*\.)?", escape(prefix)), &moved(&key, prefix), ""),
        };
    map.into_iter().map(|(name, value)| (key(name), value)).collect()
}

/// `expression` with its initial anchors, `^` and `\A`, moved directly after `prefix`.
fn moved(expression: &str, prefix: &str) -> String {
    let anchor = format!("(?<=^{})", escape(prefix));
    let mut result = String::with_capacity(expression.len());
    let mut class = false;
    let mut characters = expression.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, class) {
            ('\\', false) if characters.next_if_eq(&'A').is_some() => result += &anchor,
            ('\\', _) => result.extend([c].into_iter().chain(characters.next())),
            ('^', false) => result += &anchor,
            ('[', false) => {
                class = true;
                result.push(c);
                result.extend(characters.next_if_eq(&'^'));
                // At the beginning of a class, it does not end the class.
                result.extend(characters.next_if_eq(&']'));
            }
            (']', true) => {
                class = false;
                result.push(c);
            }
            _ => result.push(c),
        }
    }
    result
}

fn prefix(tower: Towers) -> &'static str {
    match tower {
        Towers::Text => "text_model.",
        Towers::Vision => "vision_model.",
        Towers::Both => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_move_behind_the_prefix() {
        for (expression, expected) in [
            ("q_proj$", "q_proj$"),
            ("^q", r"(?<=^p\.)q"),
            ("^a|(?:^b)", r"(?<=^p\.)a|(?:(?<=^p\.)b)"),
            (r"\Aq\^", r"(?<=^p\.)q\^"),
            (r"\\A", r"\\A"),
            ("[^a][b^][]^][^]^]^", r"[^a][b^][]^][^]^](?<=^p\.)"),
            (r"[\]^]", r"[\]^]"),
            ("[^^]^", r"[^^](?<=^p\.)"),
            ("\\", "\\"),
        ] {
            assert_eq!(moved(expression, "p."), expected);
        }
    }
}
