//! The server's part of a run whose images are at the sites.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use flora_core::workers::Workers;
use flora_data::{ClientShard, Dataset, Partition, Split, Template};
use flora_federation::{ClientInfo, FederationError, Fleet};
use flora_inference::settings_digest;

use super::backbone::Backbone;
use super::begin::Begin;
use super::{data, inputs, wrong};
use crate::members::Members;
use crate::run::Parts;
use crate::{Experiment, Observer, Prepared, TuningError, site};

/// Prepares the server's part of a run whose images are at sites that `fleet` reaches: the model, the initial
/// parameters, and the rounds. `classes` and `template` are those of each site's [`Plan`](crate::Plan), and `clients`
/// are the sites' replies.
///
/// The server reads no images: the experiment's `data.path` is ignored.
///
/// # Errors
///
/// An experiment that sites cannot run together, a model that does not exist, and settings that fit neither the model
/// nor the sites.
pub fn prepare_serving(
    mut experiment: Experiment,
    classes: Vec<String>,
    template: String,
    clients: Vec<ClientInfo>,
    fleet: Box<dyn Fleet>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    let started = Instant::now();
    site::check(&experiment)
        .and_then(|()| experiment.check())
        .map_err(|problem| TuningError::Experiment { origin: experiment.name.clone(), problem })?;
    let begin = Begin::read(&mut experiment, observer)?;
    experiment.data.template = Some(template.clone());
    let template =
        Template::new(template).map_err(|error| wrong(&experiment, "data.template", error))?;
    let dataset = Dataset::named(&experiment.name, &classes, template);
    let loss = data::check_loss(&experiment, begin.method.as_ref(), &classes)?;
    let scored_on = check_sites(&experiment, &clients)?;
    data::warn_of_single_images(&experiment, loss, &clients, observer);

    let workers = Workers::new(experiment.federation.threads)
        .map_err(|error| wrong(&experiment, "federation.threads", error))?;
    let backbone = Backbone::load(&experiment, &begin, &dataset, device, observer)?;
    let texts = backbone.texts(&workers);
    let model = backbone.attach(begin.initial.as_ref(), &texts)?;
    let base_digest = backbone.checkpoint.digest()?;
    let base_settings = settings_digest(&backbone.checkpoint);
    begin.check(&experiment, (&base_digest, &base_settings), dataset.classes(), observer)?;
    let trainers = clients.iter().filter(|client| client.num_examples > 0);
    let trainers = trainers.map(|client| client.id.as_str());
    begin.check_trainers(&experiment, dataset.name(), None, trainers)?;
    let inputs = inputs::digests(&experiment, &backbone, None, &begin)?;
    let trainable = backbone.method.trainable();
    let shard = |site: &ClientInfo| ClientShard { id: site.id.clone(), ..ClientShard::default() };
    let shards = clients.iter().map(shard).collect();
    Prepared::new(Parts {
        method: backbone.method.name().to_owned(),
        trainable_parameters: trainable.count(&model),
        total_parameters: backbone.count(&model),
        base_digest,
        base_settings,
        inputs,
        data_seconds: started.elapsed().as_secs_f64(),
        dataset: Arc::new(dataset),
        partition: Partition { clients: shards, class_groups: None },
        initial: trainable.record(&model)?,
        clients,
        scored_on,
        cohort: None,
        summed: begin.summed(),
        members: Members::AtSites(fleet),
        experiment,
    })
}

/// Checks for problems that would otherwise only appear when the rounds begin; returns the split that the run is
/// evaluated on.
fn check_sites(experiment: &Experiment, clients: &[ClientInfo]) -> Result<Split, TuningError> {
    if clients.is_empty() {
        return Err(TuningError::Sites("no site takes part; wait for one to connect".to_owned()));
    }
    let mut ids: Vec<&String> = clients.iter().map(|client| &client.id).collect();
    ids.sort();
    if let Some(twice) = ids.windows(2).find(|two| two[0] == two[1]) {
        let id = twice[0].clone();
        return Err(TuningError::Sites(FederationError::DuplicateClient { id }.to_string()));
    }
    let trainers = clients.iter().filter(|it| it.num_examples > 0);
    data::check_trainers(experiment, &trainers.map(|it| it.id.as_str()).collect::<Vec<_>>())?;
    let scored_on = match experiment.data.validation.is_zero() {
        true => Split::Test,
        false => Split::Validation,
    };
    if clients.iter().all(|client| client.num_test_examples == 0) {
        let problem =
            format!("no site has a {} image, so nothing could be evaluated", scored_on.as_str());
        return Err(wrong(experiment, "data", problem));
    }
    Ok(scored_on)
}
