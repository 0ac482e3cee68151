//! What all clients share, and the clients.

use std::sync::Arc;

use flora_clip::TextPrefix;
use flora_data::{ClientShard, Dataset, Features, Partition};
use flora_federation::{Client, Layered};

use super::backbone::Backbone;
use crate::{Cohort, Experiment, ImageInput, Objective, TuningClient, TuningError, TuningModel};

/// What was computed for the clients.
pub(super) struct Setting<'a> {
    pub(super) texts: Option<Arc<Features>>,
    pub(super) prefix: Option<TextPrefix>,
    pub(super) images: ImageInput,
    pub(super) partition: &'a Partition,
    pub(super) dataset: &'a Dataset,
}

pub(super) fn cohort(
    experiment: &Experiment,
    backbone: Backbone,
    model: TuningModel,
    setting: Setting<'_>,
) -> Result<Cohort, TuningError> {
    let Setting { texts, prefix, images, partition, dataset } = setting;
    let texts = texts.filter(|_| backbone.texts_stay());
    let labels = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    let Backbone { method, prompts, logit_scale, device, .. } = backbone;
    let objective = Objective::new(method, images, labels, prompts, logit_scale);
    let objective = Objective {
        texts,
        prefix,
        class_names: Arc::new(dataset.classes().to_vec()),
        class_groups: partition.class_groups.clone(),
        loss: experiment.method.loss.unwrap_or(objective.loss),
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

pub(super) fn of_partition(
    experiment: &Experiment,
    partition: &Partition,
    cohort: &Arc<Cohort>,
) -> Vec<Box<dyn Client>> {
    let scored_on = partition.scored_on();
    let client = |shard: &ClientShard| -> Box<dyn Client> {
        let client = TuningClient::new(shard.clone(), Arc::clone(cohort));
        let client = Box::new(client.scored_on(scored_on));
        match experiment.federation.transforms() {
            none if none.is_empty() => client,
            layers => Box::new(Layered::new(client as Box<dyn Client>, layers)),
        }
    };
    partition.clients.iter().map(client).collect()
}
