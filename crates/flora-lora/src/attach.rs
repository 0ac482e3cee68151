use burn::module::Module;

use crate::layers::LayerConfigs;
use crate::{LoraAdapter, LoraConfig, LoraError, LoraLinear, Towers};

/// A module that lists the layers that may carry adapters.
pub trait AdaptableModule: Module {
    /// Every adaptable layer with its full name, in the order of the model, for example
    /// `text_model.encoder.layers.0.self_attn.q_proj`. The name is the path of the layer's parameters as burn's module
    /// visitors report it.
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)>;
}

/// Freezes `module` and attaches a new adapter to every layer that `config` selects. Existing adapters, on these layers
/// or on others, are discarded.
///
/// `seed` determines the initial `A` of each layer (`B` is zero). Each layer draws from its own stream, so that
/// adapting another layer does not change the others' values. Outputs are bit-identical to the base model until the
/// first step. To train, the module must be on an autodiff device.
///
/// # Errors
///
/// A value of `config` that is out of range or too large for a layer; or a configuration, or one of its patterns, that
/// matches no layer.
pub fn attach<M: AdaptableModule>(
    module: M,
    config: &LoraConfig,
    seed: u64,
) -> Result<M, LoraError> {
    let targets = config.checked_matcher()?;
    let mut module = module.no_grad();
    let layers = LayerConfigs::new(config)?;
    let mut attached = Vec::new();
    let mut unmatched = Vec::new();
    for (name, layer) in module.adaptable_layers() {
        layer.lora = None;
        if targets.matches(&name)? {
            let [d_input, d_output] = layer.dims();
            let (limit, config) = (d_input.min(d_output), layers.of(&name)?);
            if config.r > limit {
                return Err(LoraError::Rank { layer: name, rank: config.r, limit });
            }
            let mut random = flora_core::seed::stream(seed, &format!("lora {name}"));
            let device = layer.weight.lazy_device();
            layer.lora = Some(LoraAdapter::new([d_input, d_output], &config, &mut random, &device));
            attached.push(name);
        } else {
            unmatched.push(name);
        }
    }
    if attached.is_empty() {
        return Err(LoraError::NoTarget {
            targets: config.target_modules.clone(),
            excluded: config.exclude_modules.clone(),
            towers: config.towers.to_string(),
            example: example(unmatched, config.towers),
        });
    }
    layers.check_used(&attached)?;
    Ok(module)
}

/// The name of a layer that the configuration could have matched: in the searched towers, if there is one.
fn example(names: Vec<String>, towers: Towers) -> String {
    let place = names.iter().position(|name| towers.contain(name)).unwrap_or(0);
    names.into_iter().nth(place).unwrap_or_default()
}

/// Gives the adapters' dropout new masks, determined by `seed`; without dropout nothing changes.
///
/// Copies of one module drop the same inputs. Clients, and rounds that start from the same copy, need seeds of their
/// own for different masks.
pub fn reseed_dropout<M: AdaptableModule>(mut module: M, seed: u64) -> M {
    for (name, layer) in module.adaptable_layers() {
        if let Some(dropout) = layer.lora.as_mut().and_then(|lora| lora.dropout.as_mut()) {
            dropout.reseed(&mut flora_core::seed::stream(seed, &format!("dropout {name}")));
        }
    }
    module
}

/// Discards the adapters: the base model remains, still frozen.
pub fn detach<M: AdaptableModule>(mut module: M) -> M {
    for (_, layer) in module.adaptable_layers() {
        layer.lora = None;
    }
    module
}

/// Merges each adapter into its layer's weight, `W + s A B`, and removes it. Outputs equal those with the adapters
/// attached up to rounding.
pub fn merge<M: AdaptableModule>(mut module: M) -> M {
    for (_, layer) in module.adaptable_layers() {
        if let Some(lora) = layer.lora.take() {
            let delta = lora.delta();
            layer.weight = layer.weight.clone().map(|weight| {
                let merged = weight.detach() + delta.detach();
                merged.set_require_grad(false)
            });
        }
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_layer_of_the_searched_towers() {
        let names = ["text_model.a", "text_projection", "vision_model.b", "vision_model.c"];
        let of = |names: &[&str], towers| {
            example(names.iter().map(|&name| name.to_owned()).collect(), towers)
        };
        assert_eq!(of(&names, Towers::Vision), "vision_model.b");
        assert_eq!(of(&names, Towers::Text), "text_model.a");
        assert_eq!(of(&names, Towers::Both), "text_model.a");
        assert_eq!(of(&names[..2], Towers::Vision), "text_model.a");
        assert_eq!(of(&[], Towers::Both), "");
    }
}
