//! The shared data of all clients, and the clients.

use std::sync::Arc;

use flora_clip::TextPrefix;
use flora_data::{ClientShard, Dataset, Features, Partition, Split};
use flora_federation::{Attack, Client, Download, Layered, Transform};
use flora_privacy::{PrivacyConfig, RELEASE};
use flora_secagg::{Policy, Secure, SigningKey};

use super::backbone::Backbone;
use super::images::Images;
use crate::client::client_info;
use crate::travel::Noise;
use crate::{Cohort, Experiment, Objective, TuningClient, TuningError, TuningModel};

/// Everything computed for the clients.
pub(super) struct Setting<'a> {
    pub(super) texts: Option<Arc<Features>>,
    pub(super) prefix: Option<TextPrefix>,
    pub(super) images: Images,
    pub(super) class_groups: Option<Vec<Vec<usize>>>,
    pub(super) dataset: &'a Dataset,
    /// `None` at a site, which has only its own images.
    pub(super) partition: Option<&'a Partition>,
}

pub(super) fn cohort(
    experiment: &Experiment,
    backbone: Backbone,
    model: TuningModel,
    setting: Setting<'_>,
) -> Result<Cohort, TuningError> {
    let Setting { texts, prefix, images, class_groups, dataset, partition } = setting;
    let texts = texts.filter(|_| backbone.texts_stay());
    let mut labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    if let Some(partition) = partition {
        flip(&mut labels, experiment, dataset.classes().len(), partition);
    }
    let Backbone { method, prompts, logit_scale, device, .. } = backbone;
    let Images { plain, views } = images;
    let objective = Objective::new(method, plain, labels, prompts, logit_scale);
    let objective = Objective {
        views,
        texts,
        prefix,
        class_names: Arc::new(dataset.classes().to_vec()),
        class_groups,
        loss: experiment.method.loss.unwrap_or(objective.loss),
        softmax: experiment.method.softmax,
        implementation: experiment.method.implementation,
        ..objective
    };
    let federation = &experiment.federation;
    let training = experiment.training.clone();
    // Measurements that are not reported are not computed.
    let local = federation.evaluate_local && !experiment.is_quiet() && federation.secure.is_none();
    let seed = experiment.seed;
    let cohort = Cohort::new(objective, training, local, seed, device, model)?;
    let cohort = cohort.with_share(federation.share());
    Ok(if experiment.output.keep_clients { cohort.keep_own() } else { cohort })
}

/// Flips the training labels of label-flipping attackers: class `c` becomes class `classes - 1 - c` (Fang et al. 2020,
/// <https://arxiv.org/abs/1911.11815>). Training images are never used for evaluation, so scores stay honest.
fn flip(labels: &mut [usize], experiment: &Experiment, classes: usize, partition: &Partition) {
    let faults = &experiment.faults;
    if !matches!(faults.attack, Some(Attack::LabelFlip { .. })) {
        return;
    }
    let (shards, scored_on) = (&partition.clients, partition.scored_on());
    let infos: Vec<_> = shards.iter().map(|shard| client_info(shard, scored_on)).collect();
    let attackers = faults.attackers(&infos, experiment.seed);
    let other = |class: usize| {
        // If classes are in groups, labels are flipped within a group.
        let groups = partition.class_groups.iter().flatten();
        match groups.into_iter().find_map(|group| Some((group, place_in(group, class)?))) {
            Some((group, place)) => group[group.len() - 1 - place],
            None => classes - 1 - class,
        }
    };
    for shard in shards.iter().filter(|shard| attackers.contains(&shard.id)) {
        for &image in &shard.train {
            labels[image] = other(labels[image]);
        }
    }
}

fn place_in(group: &[usize], class: usize) -> Option<usize> {
    group.iter().position(|&other| other == class)
}

pub(super) fn of_partition(
    experiment: &Experiment,
    partition: &Partition,
    cohort: &Arc<Cohort>,
    download: Option<&Arc<dyn Download>>,
) -> Result<Vec<Box<dyn Client>>, TuningError> {
    let scored_on = partition.scored_on();
    let hidden = experiment.hidden(&Noise::Seeded, "")?;
    // Settings that the accountant rejects are reported before the first round.
    if let Some(hidden) = &hidden
        && let Some(first) = partition.clients.iter().find(|shard| !shard.train.is_empty())
    {
        hidden.check_plan(first.train.len(), experiment.method.name.is_closed_form())?;
    }
    let client = |shard: &ClientShard| {
        let client = TuningClient::new(shard.clone(), Arc::clone(cohort)).scored_on(scored_on);
        let client = client.hiding(match &hidden {
            None => None,
            Some(hidden) => {
                let secret =
                    Noise::Seeded.secret(experiment, &format!("of client {}", shard.id))?;
                Some(hidden.with_secret(secret))
            }
        });
        let masking = Masking { policy: SIMULATED, ..Masking::default() };
        layered(experiment, client, &shard.id, (&Noise::Seeded, masking), download)
    };
    partition.clients.iter().map(client).collect()
}

/// What a client's owner determines about its masks, if the run has masks.
#[derive(Default)]
pub(crate) struct Masking {
    /// What the client accepts.
    pub(crate) policy: Policy,
    /// Its identity, if it is kept elsewhere.
    pub(crate) identity: Option<SigningKey>,
    /// The plan that the client follows, without its name; empty in a simulation, which has one experiment for all.
    pub(crate) plan: Vec<u8>,
    /// Whether the server can have the client restored to an earlier state.
    pub(crate) is_restored: bool,
}

/// A simulation has no server that lies, and measures thresholds of any kind.
const SIMULATED: Policy = Policy { clients: 3, majority: false };

/// The client that holds `shard` and is evaluated on its images of one split, with its message encodings. A client in
/// its own process draws its own noise.
pub(crate) fn site_client(
    experiment: &Experiment,
    shard: ClientShard,
    scored_on: Split,
    cohort: &Arc<Cohort>,
    noise: &Noise,
    masking: Masking,
) -> Result<Box<dyn Client>, TuningError> {
    let id = shard.id.clone();
    let client = TuningClient::new(shard, Arc::clone(cohort)).scored_on(scored_on);
    let client = client.hiding(experiment.hidden(noise, &id)?);
    let download = experiment.download(cohort.initial());
    layered(experiment, client, &id, (noise, masking), download.as_ref())
}

fn layered(
    experiment: &Experiment,
    client: TuningClient,
    id: &str,
    (noise, masking): (&Noise, Masking),
    download: Option<&Arc<dyn Download>>,
) -> Result<Box<dyn Client>, TuningError> {
    let is_local = matches!(experiment.federation.privacy, Some(PrivacyConfig::Local(_)));
    let layers = experiment.client_layers(id, noise, client.initial())?;
    let client = Box::new(client.guarded(is_local)) as Box<dyn Client>;
    let Some(secure) = &experiment.federation.secure else {
        return Ok(around(client, layers, download));
    };
    let client = around(client, layers, None);
    // In the client's view of the model, and in the order in which the fleet decodes.
    let Masking { policy, identity, plan, is_restored } = masking;
    let client = Secure::new(client, policy, secure.clone())
        .with_identity(identity)
        .with_plan(plan)
        .with_own_settings(&[RELEASE, flora_privacy::ANSWERS]);
    let client = if is_restored { client.forgetting_unused_masks() } else { client };
    Ok(around(Box::new(client), Vec::new(), download))
}

fn around(
    client: Box<dyn Client>,
    layers: Vec<Box<dyn Transform>>,
    download: Option<&Arc<dyn Download>>,
) -> Box<dyn Client> {
    match (layers.is_empty(), download) {
        (true, None) => client,
        _ => Box::new(Layered::new(client, layers).with_download(download.cloned())),
    }
}
