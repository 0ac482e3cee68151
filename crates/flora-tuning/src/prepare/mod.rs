//! From an experiment to clients ready for the first round; one file per prepared part.

mod adapter;
mod backbone;
mod begin;
mod clients;
mod data;
mod images;
mod inputs;
mod seen;
mod serving;
mod site;

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use flora_core::workers::Workers;
use flora_federation::Simulation;
use flora_inference::settings_digest;

pub(crate) use self::adapter::adapter_config;
pub(crate) use self::begin::BESIDE;
pub use self::begin::check_copies;
pub(crate) use self::clients::{Masking, site_client};
pub use self::data::partition;
pub(crate) use self::data::{open_dataset, resolve_model};
pub(crate) use self::inputs::IMAGES;
pub use self::serving::prepare_serving;
pub(crate) use self::site::site_cohort;

use self::backbone::Backbone;
use self::begin::Begin;
use self::clients::Setting;
use crate::client::client_info;
use crate::members::Members;
use crate::run::Parts;
use crate::{Experiment, Method, Observer, Prepared, TuningError};

/// An error in a field of the experiment.
fn wrong(experiment: &Experiment, field: &str, problem: impl std::fmt::Display) -> TuningError {
    refused(experiment, format!("{field}: {problem}"))
}

/// A problem that begins with the field.
pub(crate) fn refused(experiment: &Experiment, problem: String) -> TuningError {
    TuningError::Experiment { origin: experiment.name.clone(), problem }
}

/// Reads model and data, computes or loads the image features, and creates the clients.
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
    let begin = Begin::read(&mut experiment, observer)?;
    prepared(experiment, begin, device, observer)
}

/// [`prepare`] for a custom method, instead of the one that the experiment names. Its loss is `method.loss`, if the
/// experiment sets it. `method.lora`, `method.prompt` and `method.init_adapter` belong to the included methods, and are
/// ignored.
///
/// # Errors
///
/// The errors of [`prepare`].
pub fn prepare_method(
    experiment: Experiment,
    method: Arc<dyn Method>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    prepared(experiment, Begin::only(method), device, observer)
}

fn prepared(
    experiment: Experiment,
    begin: Begin,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    let started = Instant::now();
    experiment.check().map_err(|problem| refused(&experiment, problem))?;
    let (dataset, partition) = partition(&experiment)?;
    data::check(&experiment, begin.method.as_ref(), &dataset, &partition, observer)?;
    data::warn_of_passed_over(&dataset, observer);
    let dataset = Arc::new(dataset);
    let workers = Workers::new(experiment.federation.threads)
        .map_err(|error| wrong(&experiment, "federation.threads", error))?;

    let mut backbone = Backbone::load(&experiment, &begin, &dataset, device, observer)?;
    let base_digest = backbone.checkpoint.digest()?;
    let base_settings = settings_digest(&backbone.checkpoint);
    begin.check(&experiment, (&base_digest, &base_settings), dataset.classes(), observer)?;
    let trainers = partition.clients.iter().filter(|shard| !shard.train.is_empty());
    let trainers = trainers.map(|shard| shard.id.as_str());
    begin.check_trainers(&experiment, dataset.name(), Some(&dataset), trainers)?;
    begin.check_scored(&experiment, &dataset, &partition, observer)?;
    crate::privacy::check_partition(&experiment, &partition)?;
    // Before the images are read, so that a mistake is reported before the long work.
    let texts = backbone.texts(&workers);
    let model = backbone.attach(begin.initial.as_ref(), &texts)?;
    let prefix = backbone.prefix(&model, &workers);
    let images = images::prepare(&experiment, &mut backbone, &model, &dataset, &workers, observer)?;

    let trainers = partition.clients.iter().filter(|shard| !shard.train.is_empty()).count();
    let at_rest = experiment.federation.client_state.at_rest(trainers);
    let trainable_parameters = backbone.method.trainable().count(&model);
    let total_parameters = backbone.count(&model);
    let inputs = inputs::digests(&experiment, &backbone, Some(&dataset), &begin)?;
    let class_groups = partition.class_groups.clone();
    let setting = Setting {
        texts,
        prefix,
        images,
        class_groups,
        dataset: &dataset,
        partition: Some(&partition),
    };
    let method = Arc::clone(&backbone.method);
    let cohort = Arc::new(clients::cohort(&experiment, backbone, model, setting)?);
    let initial = cohort.initial().as_ref().clone();
    let scored_on = partition.scored_on();
    let infos = partition.clients.iter().map(|shard| client_info(shard, scored_on)).collect();
    let download = experiment.download(&initial);
    let clients = clients::of_partition(&experiment, &partition, &cohort, download.as_ref())?;
    let simulation = Simulation::new(clients, workers.threads())
        .map_err(|error| wrong(&experiment, "partition", error))?;
    Prepared::new(Parts {
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
        summed: begin.summed(),
        members: Members::Here { simulation, at_rest },
        experiment,
    })
}

/// Runs `work` on one thread, like all deterministic arithmetic.
fn on_one_thread<R: Send>(workers: &Workers, work: impl Fn() -> R + Sync) -> R {
    workers.map(vec![()], |()| work(), |_, _| {}).pop().expect("one item, one result")
}

/// The folder of computed features, unless the experiment sets another.
pub(crate) fn cache_folder(experiment: &Experiment) -> Option<std::path::PathBuf> {
    experiment.data.cache.clone().or_else(crate::assets::default_cache)
}
