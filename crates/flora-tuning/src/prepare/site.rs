//! The cohort of a site's client.

use std::sync::Arc;

use burn::tensor::Device;
use flora_core::workers::Workers;
use flora_data::Dataset;

use super::backbone::Backbone;
use super::begin::Begin;
use super::clients::{self, Setting};
use super::{data, images};
use crate::{Cohort, Experiment, Observer, TuningError};

/// The cohort of a site's client: that of a simulation, with the images of `dataset` alone.
pub(crate) fn site_cohort(
    experiment: &Experiment,
    dataset: Dataset,
    workers: &Workers,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Arc<Cohort>, TuningError> {
    let begin = Begin::only(experiment.method.method());
    data::check_loss(experiment, begin.method.as_ref(), dataset.classes())?;
    data::warn_of_passed_over(&dataset, observer);
    let dataset = Arc::new(dataset);
    let mut backbone = Backbone::load(experiment, &begin, &dataset, device, observer)?;
    let texts = backbone.texts(workers);
    let model = backbone.attach(None, &texts)?;
    let prefix = backbone.prefix(&model, workers);
    let images = images::prepare(experiment, &mut backbone, &model, &dataset, workers, observer)?;
    let setting =
        Setting { texts, prefix, images, class_groups: None, dataset: &dataset, partition: None };
    Ok(Arc::new(clients::cohort(experiment, backbone, model, setting)?))
}
