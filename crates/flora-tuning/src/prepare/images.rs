//! What the clients train on: features of a frozen vision tower, or pictures.

use std::sync::Arc;

use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache};
use flora_inference::{checkpoint_rows, image_rows};

use super::backbone::Backbone;
use super::cache_folder;
use crate::features::{check_pictures, notices};
use crate::{Experiment, ImageInput, Observer, TuningError};

pub(super) fn prepare(
    experiment: &Experiment,
    backbone: &mut Backbone,
    dataset: &Arc<Dataset>,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<ImageInput, TuningError> {
    // The vision tower is in memory only while it computes what the cache does not have.
    let whole = backbone.whole.take();
    let adapted = backbone.adapted.take();
    let (checkpoint, device) = (&backbone.checkpoint, &backbone.device);
    if backbone.encodes_pictures() {
        let preprocessor = checkpoint.preprocessor.clone();
        check_pictures(dataset, &preprocessor, workers, observer)?;
        return Ok(ImageInput::Pictures { dataset: Arc::clone(dataset), preprocessor });
    }
    // The cache goes by the checkpoint's weights.
    let folder = cache_folder(experiment).filter(|_| !experiment.model.random_weights);
    let dtype = experiment.data.cache_dtype.into();
    let cache = folder.map(|folder| FeatureCache::new(folder).with_dtype(dtype));
    let load = || whole.map_or_else(|| checkpoint.load(device), Ok);
    let notify = &mut notices(observer);
    let readout = backbone.method.readout(&checkpoint.config.vision_config);
    if let Some(mut model) = adapted {
        model.readout = readout;
        let features = image_rows(&model, dataset, cache.as_ref(), workers, notify)?;
        return Ok(ImageInput::Features(Arc::new(features)));
    }
    let tower = (checkpoint, readout.as_ref());
    let features = checkpoint_rows(tower, load, device, dataset, cache.as_ref(), workers, notify)?;
    Ok(ImageInput::Features(Arc::new(features)))
}
