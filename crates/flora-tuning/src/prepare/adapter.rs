//! The adapter that a run starts from.

use flora_federation::Event;
use flora_inference::{Provenance, adapter_folder};
use flora_lora::{LoraConfig, PeftAdapter, load_peft};

use super::wrong;
use crate::{Experiment, Observer, TuningError};

/// Warns of an adapter that was trained on other weights.
pub(super) fn warn_of_other_base(
    experiment: &Experiment,
    adapter: Option<&Provenance>,
    base_digest: &str,
    observer: &mut dyn Observer,
) {
    let Some(adapter) = adapter.filter(|adapter| adapter.base_sha256 != base_digest) else {
        return;
    };
    let message = format!(
        "the adapter in method.init_adapter was trained on {}, not on the weights of {}: training starts from \
         another model than the adapter was trained with",
        adapter.base_model_name_or_path, experiment.model.path
    );
    observer.event(&Event::Warning { message });
}

/// The configuration of the adapter to start from, if there is one.
pub(crate) fn adapter_config(experiment: &Experiment) -> Result<Option<LoraConfig>, TuningError> {
    Ok(read_adapter(experiment)?.map(|(adapter, _)| adapter.config))
}

/// Reads the adapter to start from, and its provenance.
pub(super) fn read_adapter(
    experiment: &Experiment,
) -> Result<Option<(PeftAdapter, Option<Provenance>)>, TuningError> {
    let Some(path) = &experiment.method.init_adapter else { return Ok(None) };
    let folder = &adapter_folder(path);
    let provenance = Provenance::load(folder)
        .map_err(|error| wrong(experiment, "method.init_adapter", error))?;
    let adapter =
        load_peft(folder).map_err(|error| wrong(experiment, "method.init_adapter", error))?;
    let path = folder.display();
    if !adapter.extras.is_empty() {
        let problem = format!(
            "{path} has more parameters than A and B (use_dora, lora_bias, bias or modules_to_save), but training \
             continues from these only; merge it into its base with `flora export --merged`, and train \
             a fresh adapter on that"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    if adapter.names_no_tower() {
        let problem = format!(
            "{path} does not name the tower that it is for; add \"auto_mapping\": {{\"base_model_class\": \
             \"CLIPTextModel\"}}, or \"CLIPVisionModel\", to its adapter_config.json"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    Ok(Some((adapter, provenance)))
}

/// Reads the adapter to start from, and its provenance. Its configuration replaces the experiment's.
pub(super) fn initial_adapter(
    experiment: &mut Experiment,
    observer: &mut dyn Observer,
) -> Result<Option<(PeftAdapter, Option<Provenance>)>, TuningError> {
    let Some((adapter, provenance)) = read_adapter(experiment)? else { return Ok(None) };
    let lora = std::mem::replace(&mut experiment.method.lora, adapter.config.clone());
    if lora != LoraConfig::default() && lora != experiment.method.lora {
        observer.event(&Event::Warning {
            message:
                "method.lora is taken from the adapter in method.init_adapter, instead of the \
                      experiment"
                    .to_owned(),
        });
    }
    Ok(Some((adapter, provenance)))
}
