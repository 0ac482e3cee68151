use std::collections::BTreeSet;

use super::extras;
use super::tensors::{self, Extras};
use crate::layers::LayerConfigs;
use crate::{AdaptableModule, LoraAdapter, LoraError, PeftAdapter, load_adapter_record};

/// Freezes `module` and attaches `adapter`, from [`load_peft`](crate::load_peft). Existing adapters, on these layers or
/// on others, are discarded.
///
/// The adapters are like those of [`attach`](crate::attach): they can be trained (on an autodiff device), merged and
/// exported. With dropout, their masks are always the same; [`reseed_dropout`](crate::reseed_dropout) changes them.
///
/// Other parameters of the adapter go into the frozen weights. Parameters that were trained as a whole replace those of
/// the base model, biases of `B` are added to the layers' own, and layers with DoRA are merged. For such an adapter,
/// [`adapter_record`](crate::adapter_record) returns only a part.
///
/// `target_modules` may name layers that the module lacks; the adapter may not. A whole CLIP accepts the adapter of one
/// tower: see [`load_peft`](crate::load_peft) and [`PeftAdapter::fitted`].
///
/// # Errors
///
/// [`LoraError::Layer`] names a layer that `target_modules` selects and the adapter lacks, or that the adapter has and
/// the module lacks or `target_modules` omits. [`LoraError::Record`] names a tensor that does not fit its layer or is
/// not finite, [`LoraError::Tensor`] one that is not a matrix of rank `r`.
pub fn attach_peft<M: AdaptableModule>(module: M, adapter: &PeftAdapter) -> Result<M, LoraError> {
    let mut module = module;
    let fitted;
    let adapter = if adapter.names_no_tower() {
        fitted = adapter.clone().fitted(&mut module)?;
        &fitted
    } else {
        adapter
    };
    let PeftAdapter { config, record, extras: others, .. } = adapter;
    let targets = config.checked_matcher()?;
    let layers = LayerConfigs::new(config)?;
    let shapes = record.iter().map(|(name, tensor)| (name, tensor.shape()));
    tensors::check("", shapes, &layers, &Extras::default())?;
    let mut adapted: BTreeSet<&str> =
        record.names().filter_map(tensors::split).map(|(layer, _)| layer).collect();

    let mut module = module.no_grad();
    let mut example = None;
    for (name, layer) in module.adaptable_layers() {
        let wrong = |problem: &str| {
            Err(LoraError::Layer { layer: name.clone(), problem: problem.to_owned() })
        };
        // PEFT does not adapt a layer that it saves as a whole.
        let whole = others.get(&format!("{name}.weight")).is_some();
        layer.lora = match (targets.matches(&name)? && !whole, adapted.remove(name.as_str())) {
            (false, true) if whole => {
                return wrong("the adapter has A and B for it, and its weight as a whole as well");
            }
            (false, false) => None,
            (true, false) => {
                return wrong(
                    "target_modules matches it, but the adapter has no tensors for it; it may be an \
                     adapter of another model",
                );
            }
            (false, true) => {
                return wrong(
                    "the adapter has tensors for it, but target_modules, exclude_modules or \
                     towers leaves it out",
                );
            }
            (true, true) => {
                let mut random = flora_core::seed::stream(0, &format!("dropout {name}"));
                let device = layer.weight.lazy_device();
                let config = layers.of(&name)?;
                Some(LoraAdapter::zeros(layer.dims(), &config, &mut random, &device))
            }
        };
        example.get_or_insert(name);
    }
    if let Some(layer) = adapted.first() {
        let known = example.map_or("it has none".into(), |name| format!("one is {name:?}"));
        return Err(LoraError::Layer {
            layer: (*layer).to_owned(),
            problem: format!(
                "the adapter has tensors for it, but the module has no adaptable layer of this \
                 name ({known}); it may be an adapter of another model"
            ),
        });
    }
    let module = load_adapter_record(module, record)?;
    if others.is_empty() && adapter.modules_to_save.is_empty() {
        return Ok(module);
    }
    extras::apply(module, adapter)
}
