//! Training inputs: features of a frozen vision tower, states below its first adapter, or images.

use std::cell::RefCell;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::{Clip, ClipError};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureRows, Split, View};
use flora_federation::Event;
use flora_inference::{
    BelowCut, FrozenTower, InferenceError, Model, activations, check_room_for_activations,
    checkpoint_rows, image_rows,
};

use super::backbone::{Backbone, Vision};
use super::{cache_folder, wrong};
use crate::features::{check_pictures, notices};
use crate::{Experiment, ImageInput, Observer, TuningError, TuningModel, Views};

/// The images of all clients, ready for use.
pub(super) struct Images {
    /// The original images.
    pub(super) plain: ImageInput,
    /// The views used in training, if any.
    pub(super) views: Option<Views>,
}

pub(super) fn prepare(
    experiment: &Experiment,
    backbone: &mut Backbone,
    model: &TuningModel,
    dataset: &Arc<Dataset>,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<Images, TuningError> {
    // The cache is keyed by the checkpoint's weights.
    let folder = cache_folder(experiment).filter(|_| !experiment.model.random_weights);
    let dtype = experiment.data.cache_dtype.into();
    check_precision(experiment, backbone, model, observer)?;
    // The vision tower is in memory only while it computes what the cache lacks.
    let (whole, adapted) = (backbone.whole.take(), backbone.adapted.take());
    let source = Source {
        experiment,
        backbone,
        model,
        whole: RefCell::new(whole),
        adapted,
        cache: folder.map(|folder| FeatureCache::new(folder).with_dtype(dtype)),
        workers,
    };
    let views = views(experiment, dataset);
    if !views.is_empty() {
        let all: Vec<&Dataset> = [dataset].into_iter().chain(&views).map(Arc::as_ref).collect();
        source.check_room(&all)?;
    }
    let plain = source.input(dataset, observer)?;
    if let ImageInput::Pictures { preprocessor, .. } = &plain {
        check_pictures(dataset, preprocessor, workers, observer)?;
    }
    if views.is_empty() {
        return Ok(Images { plain, views: None });
    }
    let each = views.iter().map(|view| source.input(view, observer)).collect::<Result<_, _>>()?;
    let views = Views::new(each, &dataset.indices(Split::Train), dataset.len());
    Ok(Images { plain, views: Some(views) })
}

/// Checks that the device supports the precision, and that some of the vision tower is computed in it.
fn check_precision(
    experiment: &Experiment,
    backbone: &Backbone,
    model: &TuningModel,
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let precision = experiment.model.precision;
    let refused = |problem: &dyn std::fmt::Display| wrong(experiment, "model.precision", problem);
    precision.check(&backbone.device).map_err(|error| refused(&error))?;
    if !precision.is_f32() && matches!(backbone.vision(model), Vision::Whole) {
        let problem = format!(
            "{precision} only applies to frozen layers, but every step computes the whole vision tower here, as \
             with method.implementation = \
             \"naive\", a method that trains all of it, or adapters in its first block; choose f32"
        );
        return Err(refused(&problem));
    }
    if let Some(message) = precision.warning(&backbone.device) {
        observer.event(&Event::Warning { message: format!("model.precision: {message}") });
    }
    Ok(())
}

/// Maximum bytes of features kept on a device, for the original images and for each view.
const RESIDENT: usize = 1 << 28;

/// Features on the device, if it is not burn's CPU backend and they are not too large; otherwise unchanged.
fn resident_or(rows: FeatureRows, device: &Device) -> Result<ImageInput, TuningError> {
    let (count, dim) = (rows.len(), rows.dim());
    if flora_kernels::is_fused(device) || count * dim * size_of::<f32>() > RESIDENT {
        return Ok(ImageInput::Features(Arc::new(rows)));
    }
    let all: Vec<usize> = (0..count).collect();
    let values = TensorData::new(rows.gather(&all)?, [count, dim]);
    Ok(ImageInput::Resident(Tensor::from_data(values, &device.clone().inner())))
}

/// The training images in each of their views.
fn views(experiment: &Experiment, dataset: &Dataset) -> Vec<Arc<Dataset>> {
    let train = dataset.clone().only(Split::Train);
    let view = |number| View { seed: experiment.data.seed, number };
    (0..experiment.data.views)
        .map(|number| train.clone().seen_as(view(number)))
        .map(Arc::new)
        .collect()
}

/// Computes data from images.
struct Source<'a> {
    experiment: &'a Experiment,
    backbone: &'a Backbone,
    model: &'a TuningModel,
    /// The checkpoint's model, once it is in memory.
    whole: RefCell<Option<Clip>>,
    /// The model with an adapter below the trained parameters, if there is one.
    adapted: Option<Model>,
    cache: Option<FeatureCache>,
    workers: &'a Workers,
}

impl Source<'_> {
    fn input(
        &self,
        dataset: &Arc<Dataset>,
        observer: &mut dyn Observer,
    ) -> Result<ImageInput, TuningError> {
        let kept = match self.backbone.vision(self.model) {
            Vision::Frozen => Some(self.features(dataset, observer)?),
            Vision::From(cut) => {
                let kept = self.below_cut(|below, cache| {
                    activations(below, dataset, cache, self.workers, &mut notices(observer))
                })?;
                let input = |rows| ImageInput::Activations { below: Arc::new(rows), cut };
                kept.flatten().map(input)
            }
            Vision::Whole => None,
        };
        let precision = self.experiment.model.precision;
        match kept {
            Some(kept) => Ok(kept),
            None if !precision.is_f32() => {
                let problem = format!(
                    "{precision} only applies to cached computations, and the states below the first adapter cannot be \
                     cached here (random weights, or a cache that cannot be written); choose f32"
                );
                Err(wrong(self.experiment, "model.precision", problem))
            }
            None => Ok(ImageInput::Pictures {
                dataset: Arc::clone(dataset),
                preprocessor: self.backbone.checkpoint.preprocessor.clone(),
            }),
        }
    }

    fn features(
        &self,
        dataset: &Dataset,
        observer: &mut dyn Observer,
    ) -> Result<ImageInput, TuningError> {
        let Self { backbone, workers, .. } = self;
        let (checkpoint, device) = (&backbone.checkpoint, &backbone.device);
        let precision = self.experiment.model.precision;
        let load = || -> Result<Clip, ClipError> {
            let mut whole = self.whole.borrow_mut();
            Ok(match &*whole {
                Some(clip) => clip.clone(),
                None => whole.insert(checkpoint.load(device)?).clone(),
            })
        };
        let (cache, notify) = (self.cache.as_ref(), &mut notices(observer));
        let readout = backbone.method.readout(&checkpoint.config.vision_config);
        let rows = match &self.adapted {
            Some(model) => {
                let mut model = model.clone().in_precision(precision)?;
                model.readout = readout;
                image_rows(&model, dataset, cache, workers, notify)?
            }
            None => {
                let tower = FrozenTower { checkpoint, readout: readout.as_ref(), precision };
                checkpoint_rows(tower, load, device, dataset, cache, workers, notify)?
            }
        };
        resident_or(rows, device)
    }

    /// Checks that the disk has space for the cached data of these data sets.
    fn check_room(&self, datasets: &[&Dataset]) -> Result<(), TuningError> {
        let checked =
            self.below_cut(|below, cache| check_room_for_activations(below, datasets, cache));
        checked.map(drop)
    }

    /// The result of `work` on the states below the first adapter; `None` if these are not cached.
    fn below_cut<T>(
        &self,
        work: impl FnOnce(&BelowCut<'_>, &FeatureCache) -> Result<T, InferenceError>,
    ) -> Result<Option<T>, TuningError> {
        let (Vision::From(cut), Some(cache)) = (self.backbone.vision(self.model), &self.cache)
        else {
            return Ok(None);
        };
        let precision = self.experiment.model.precision;
        let model = self.model.valid().in_precision(precision)?;
        let below = BelowCut {
            checkpoint: &self.backbone.checkpoint,
            device: &self.backbone.device.clone().inner(),
            precision,
            cut,
            encode: &|images| model.image_prefix(images, cut),
        };
        work(&below, cache).map(Some).map_err(|error| match error {
            InferenceError::NoRoom { .. } => {
                let problem = format!(
                    "{error}; free some space, name a folder on another disk, or choose data.cache_dtype = \"f16\", \
                     which takes half the space, or method.implementation = \"naive\", which caches nothing and computes the \
                                                                    whole \
                     tower at every step"
                );
                wrong(self.experiment, "data.cache", problem)
            }
            error => error.into(),
        })
    }
}
