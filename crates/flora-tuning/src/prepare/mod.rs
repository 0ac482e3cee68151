//! From an experiment to clients that wait for the first round, a file for each thing that is prepared.

mod backbone;
mod clients;
mod data;
mod images;
mod inputs;
mod serving;
mod site;

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_federation::{Event, Simulation};
use flora_inference::{Provenance, adapter_folder, settings_digest};
use flora_lora::{LoraConfig, PeftAdapter, load_peft};

pub(crate) use self::clients::client;
pub use self::data::partition;
pub(crate) use self::data::{open_dataset, resolve_model};
pub(crate) use self::inputs::IMAGES;
pub use self::serving::prepare_serving;
pub(crate) use self::site::site_cohort;

use self::backbone::Backbone;
use self::clients::Setting;
use crate::client::client_info;
use crate::members::Members;
use crate::run::Parts;
use crate::{Experiment, Method, Observer, Prepared, TuningError};

/// An error in a field of the experiment.
fn wrong(experiment: &Experiment, field: &str, problem: impl std::fmt::Display) -> TuningError {
    TuningError::Experiment {
        origin: experiment.name.clone(),
        problem: format!("{field}: {problem}"),
    }
}

/// Reads model and data, computes or loads the image features, and makes the clients.
///
/// On a GPU set `federation.threads` to 1 first: one thread keeps it busy.
///
/// # Errors
///
/// Files that are missing or damaged and settings that do not fit them; nothing has been trained.
pub fn prepare(
    mut experiment: Experiment,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    let adapter = initial_adapter(&mut experiment, observer)?;
    let method = experiment.method.method();
    let (record, provenance) = adapter.map(|(it, provenance)| (it.record, provenance)).unzip();
    let prepared = prepared(experiment, method, record, device, observer)?;
    let (experiment, digest) = (&prepared.experiment, &prepared.base_digest);
    warn_of_other_base(experiment, provenance.flatten().as_ref(), digest, observer);
    Ok(prepared)
}

/// An adapter to start from, trained on other weights.
fn warn_of_other_base(
    experiment: &Experiment,
    adapter: Option<&Provenance>,
    base_digest: &str,
    observer: &mut dyn Observer,
) {
    let Some(adapter) = adapter.filter(|adapter| adapter.base_sha256 != base_digest) else {
        return;
    };
    let message = format!(
        "the adapter in method.init_adapter was trained on {}, and not on the weights of {}: it starts from \
         something else than what was trained",
        adapter.base_model_name_or_path, experiment.model.path
    );
    observer.event(&Event::Warning { message });
}

/// [`prepare`] for a method of your own, instead of the one that the experiment names. Its loss is
/// `method.loss` where the experiment says one. `method.lora`, `method.prompt` and `method.init_adapter` belong to
/// the methods that ship, and are not looked at.
///
/// # Errors
///
/// As [`prepare`].
pub fn prepare_method(
    experiment: Experiment,
    method: Arc<dyn Method>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    prepared(experiment, method, None, device, observer)
}

/// The configuration of the adapter to start from, if there is one.
pub(crate) fn adapter_config(experiment: &Experiment) -> Result<Option<LoraConfig>, TuningError> {
    Ok(read_adapter(experiment)?.map(|(adapter, _)| adapter.config))
}

/// The adapter to start from, and what flora says of it.
fn read_adapter(
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
            "{path} has more than A and B (use_dora, lora_bias, bias or modules_to_save), and training \
             goes on from these alone; fold it into its base with `flora export --merged`, and train \
             a fresh adapter on that"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    if adapter.names_no_tower() {
        let problem = format!(
            "{path} does not say of which tower it is; add \"auto_mapping\": {{\"base_model_class\": \
             \"CLIPTextModel\"}}, or \"CLIPVisionModel\", to its adapter_config.json"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    Ok(Some((adapter, provenance)))
}

/// The adapter to start from, and what flora says of it. Its configuration becomes the experiment's.
fn initial_adapter(
    experiment: &mut Experiment,
    observer: &mut dyn Observer,
) -> Result<Option<(PeftAdapter, Option<Provenance>)>, TuningError> {
    let Some((adapter, provenance)) = read_adapter(experiment)? else { return Ok(None) };
    let lora = std::mem::replace(&mut experiment.method.lora, adapter.config.clone());
    if lora != LoraConfig::default() && lora != experiment.method.lora {
        observer.event(&Event::Warning {
            message: "method.lora is that of the adapter in method.init_adapter, and not what the \
                      experiment says"
                .to_owned(),
        });
    }
    Ok(Some((adapter, provenance)))
}

fn prepared(
    experiment: Experiment,
    method: Arc<dyn Method>,
    initial: Option<ParameterRecord>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    let started = Instant::now();
    experiment
        .check()
        .map_err(|problem| TuningError::Experiment { origin: experiment.name.clone(), problem })?;
    let (dataset, partition) = partition(&experiment)?;
    data::check(&experiment, method.as_ref(), &dataset, &partition, observer)?;
    data::warn_of_passed_over(&dataset, observer);
    let dataset = Arc::new(dataset);
    let workers = Workers::new(experiment.federation.threads)
        .map_err(|error| wrong(&experiment, "federation.threads", error))?;

    let mut backbone = Backbone::load(&experiment, method, &dataset, device, observer)?;
    // Before the images are looked at, so that a mistake is told before the long work.
    let texts = backbone.texts(&workers);
    let model = backbone.attach(initial.as_ref(), &texts)?;
    let prefix = backbone.prefix(&model, &workers);
    let images = images::prepare(&experiment, &mut backbone, &model, &dataset, &workers, observer)?;

    let trainers = partition.clients.iter().filter(|shard| !shard.train.is_empty()).count();
    let at_rest = experiment.federation.client_state.at_rest(trainers, &backbone.device);
    let trainable_parameters = backbone.method.trainable().count(&model);
    let total_parameters = backbone.count(&model);
    let base_digest = backbone.checkpoint.digest()?;
    let base_settings = settings_digest(&backbone.checkpoint);
    let inputs = inputs::digests(&experiment, &backbone, Some(&dataset), initial.as_ref())?;
    let class_groups = partition.class_groups.clone();
    let setting = Setting { texts, prefix, images, class_groups, dataset: &dataset };
    let method = Arc::clone(&backbone.method);
    let cohort = Arc::new(clients::cohort(&experiment, backbone, model, setting)?);
    let initial = cohort.initial().as_ref().clone();
    let scored_on = partition.scored_on();
    let infos = partition.clients.iter().map(|shard| client_info(shard, scored_on)).collect();
    let clients = clients::of_partition(&experiment, &partition, &cohort);
    let simulation = Simulation::new(clients, workers.threads())
        .map_err(|error| wrong(&experiment, "partition", error))?;
    Ok(Prepared::new(Parts {
        method: method.name().to_owned(),
        trainable_parameters,
        total_parameters,
        base_digest,
        base_settings,
        inputs,
        data_seconds: started.elapsed().as_secs_f64(),
        dataset,
        partition,
        initial,
        clients: infos,
        scored_on,
        cohort: Some(cohort),
        members: Members::Here { simulation, at_rest },
        experiment,
    }))
}

/// As all arithmetic whose bits matter.
fn on_one_thread<R: Send>(workers: &Workers, work: impl Fn() -> R + Sync) -> R {
    workers.map(vec![()], |()| work(), |_, _| {}).pop().expect("one item, one result")
}

/// The folder of computed features, unless the experiment says otherwise.
pub(crate) fn cache_folder(experiment: &Experiment) -> Option<std::path::PathBuf> {
    experiment.data.cache.clone().or_else(crate::assets::default_cache)
}
