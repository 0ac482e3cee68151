//! What the clients train on: features of a frozen vision tower, what lies below its first adapter, or pictures.

use std::sync::Arc;

use burn::module::Module;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache};
use flora_inference::{BelowCut, InferenceError, activations, checkpoint_rows, image_rows};

use super::backbone::{Backbone, Vision};
use super::{cache_folder, wrong};
use crate::features::{check_pictures, notices};
use crate::{Experiment, ImageInput, Observer, TuningError, TuningModel};

pub(super) fn prepare(
    experiment: &Experiment,
    backbone: &mut Backbone,
    model: &TuningModel,
    dataset: &Arc<Dataset>,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<ImageInput, TuningError> {
    // The vision tower is in memory only while it computes what the cache does not have.
    let whole = backbone.whole.take();
    let adapted = backbone.adapted.take();
    let (checkpoint, device) = (&backbone.checkpoint, &backbone.device);
    // The cache goes by the checkpoint's weights.
    let folder = cache_folder(experiment).filter(|_| !experiment.model.random_weights);
    let dtype = experiment.data.cache_dtype.into();
    let cache = folder.map(|folder| FeatureCache::new(folder).with_dtype(dtype));
    let kept = match (backbone.vision(model), &cache) {
        (Vision::Frozen, cache) => {
            let load = || whole.map_or_else(|| checkpoint.load(device), Ok);
            let (cache, notify) = (cache.as_ref(), &mut notices(observer));
            let readout = backbone.method.readout(&checkpoint.config.vision_config);
            let features = match adapted {
                Some(mut model) => {
                    model.readout = readout;
                    image_rows(&model, dataset, cache, workers, notify)?
                }
                None => {
                    let tower = (checkpoint, readout.as_ref());
                    checkpoint_rows(tower, load, device, dataset, cache, workers, notify)?
                }
            };
            return Ok(ImageInput::Features(Arc::new(features)));
        }
        (Vision::From(cut), Some(cache)) => {
            let model = model.valid();
            let below = BelowCut {
                checkpoint,
                device: &device.clone().inner(),
                cut,
                encode: &|images| model.image_prefix(images, cut),
            };
            below_cut(experiment, &below, dataset, cache, workers, observer)?
        }
        _ => None,
    };
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let preprocessor = checkpoint.preprocessor.clone();
    check_pictures(dataset, &preprocessor, workers, observer)?;
    Ok(ImageInput::Pictures { dataset: Arc::clone(dataset), preprocessor })
}

/// What lies below the first adapter; `None` where there is no place for it.
fn below_cut(
    experiment: &Experiment,
    below: &BelowCut<'_>,
    dataset: &Dataset,
    cache: &FeatureCache,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<Option<ImageInput>, TuningError> {
    let kept = activations(below, dataset, cache, workers, &mut notices(observer));
    let kept = kept.map_err(|error| match error {
        InferenceError::NoRoom { .. } => {
            let problem = format!(
                "{error}; free some space, name a folder on another disk, or choose data.cache_dtype = \"f16\", which \
                 takes half the room, or method.path = \"naive\", which keeps nothing and computes the whole tower at \
                 every step"
            );
            wrong(experiment, "data.cache", problem)
        }
        error => error.into(),
    })?;
    Ok(kept.map(|rows| ImageInput::Activations { below: Arc::new(rows), cut: below.cut }))
}
