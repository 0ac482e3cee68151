//! What all clients share, and the clients.

use std::sync::Arc;

use flora_clip::TextPrefix;
use flora_data::{ClientShard, Dataset, Features, Partition, Split};
use flora_federation::{Attack, Client, Layered};

use super::backbone::Backbone;
use super::images::Images;
use crate::client::client_info;
use crate::{Cohort, Experiment, Objective, TuningClient, TuningError, TuningModel};

/// What was computed for the clients.
pub(super) struct Setting<'a> {
    pub(super) texts: Option<Arc<Features>>,
    pub(super) prefix: Option<TextPrefix>,
    pub(super) images: Images,
    pub(super) class_groups: Option<Vec<Vec<usize>>>,
    pub(super) dataset: &'a Dataset,
    /// None at a site, which has its own images only.
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
        path: experiment.method.path,
        ..objective
    };
    let federation = &experiment.federation;
    let training = experiment.training.clone();
    let (local, seed) = (federation.evaluate_local, experiment.seed);
    let cohort = Cohort::new(objective, training, local, seed, device, model)?;
    let cohort = cohort.with_share(federation.share());
    Ok(if experiment.output.keep_clients { cohort.keep_own() } else { cohort })
}

/// Those who attack by labels train on wrong ones: class `c` is called class `classes - 1 - c` (Fang et al. 2020,
/// <https://arxiv.org/abs/1911.11815>). An image that is trained on is never scored, so that scores stay honest.
fn flip(labels: &mut [usize], experiment: &Experiment, classes: usize, partition: &Partition) {
    let faults = &experiment.faults;
    if !matches!(faults.attack, Some(Attack::LabelFlip { .. })) {
        return;
    }
    let (shards, scored_on) = (&partition.clients, partition.scored_on());
    let infos: Vec<_> = shards.iter().map(|shard| client_info(shard, scored_on)).collect();
    let attackers = faults.attackers(&infos, experiment.seed);
    let other = |class: usize| {
        // Where classes are in groups, an image is told from those of its own.
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
) -> Vec<Box<dyn Client>> {
    let scored_on = partition.scored_on();
    let shards = partition.clients.iter();
    shards.map(|shard| client(experiment, shard.clone(), scored_on, cohort)).collect()
}

/// The client that holds `shard` and is scored on its images of one split, with what happens to its answers on their
/// way.
pub(crate) fn client(
    experiment: &Experiment,
    shard: ClientShard,
    scored_on: Split,
    cohort: &Arc<Cohort>,
) -> Box<dyn Client> {
    let client = TuningClient::new(shard, Arc::clone(cohort));
    let client = Box::new(client.scored_on(scored_on));
    match experiment.federation.transforms() {
        none if none.is_empty() => client,
        layers => Box::new(Layered::new(client as Box<dyn Client>, layers)),
    }
}
