//! The vision tower's view of every image of a data set, computed once and kept on disk.

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, ClipError, Preprocessor};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureKey, FeatureRows, Features, Lookup};

use crate::encode::{BATCH, VERSION, values};
use crate::{InferenceError, Model};

/// What is worth telling while features are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// So many images of so many.
    Progress {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// Something that costs time, but not the result.
    Warning(String),
}

/// The features of every image of `dataset`, from the cache or computed; in the cache's file if there is one.
///
/// # Errors
///
/// An image that cannot be read, and weights that cannot be read any more.
pub fn image_features(
    model: &Model,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    // An adapter of the text tower leaves images as they are.
    let tower = Tower {
        checkpoint: &model.checkpoint,
        device: &model.embedder.device().clone().inner(),
        adapted: model.adapts_vision().then(|| model.fingerprint()).transpose()?,
    };
    let clip = || Ok(model.clip().valid());
    tower.features(clip, dataset, cache, workers, notify)
}

/// [`image_features`] of a checkpoint as it is. Its weights are only loaded, and put on `device`, if the cache
/// does not have the features; `load` says how, where [`Checkpoint::load`] is not the way.
///
/// # Errors
///
/// As [`image_features`], and what `load` returns.
pub fn checkpoint_features(
    checkpoint: &Checkpoint,
    load: impl FnOnce() -> Result<Clip, ClipError>,
    device: &Device,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    let tower = Tower { checkpoint, device: &device.clone().inner(), adapted: None };
    tower.features(|| Ok(load()?.valid()), dataset, cache, workers, notify)
}

/// A vision tower that may not be in memory.
struct Tower<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    /// Fingerprint of the whole model, where it is not the checkpoint's tower as it is.
    adapted: Option<String>,
}

impl Tower<'_> {
    fn features(
        &self,
        clip: impl FnOnce() -> Result<Clip, InferenceError>,
        dataset: &Dataset,
        cache: Option<&FeatureCache>,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<FeatureRows, InferenceError> {
        let Some(cache) = cache else {
            return Ok(self.compute(clip()?, dataset, workers, notify)?.into());
        };
        let key = self.key(dataset)?;
        // A cache that cannot be used costs time, never the result.
        match cache.load(&key, dataset.len()) {
            Ok(Lookup::Hit(features)) => return Ok(FeatureRows::File(features)),
            Ok(Lookup::Miss) => {}
            Ok(Lookup::Damaged(problem)) => notify(Notice::Warning(problem)),
            Err(error) => {
                notify(Notice::Warning(format!("{error}; the image features are computed again")));
            }
        }
        // As the next run will find them.
        let features = self.compute(clip()?, dataset, workers, notify)?.rounded(cache.dtype());
        match cache.store(&key, &features) {
            Ok(file) => Ok(FeatureRows::File(file)),
            // No disk is to blame: nothing could be made of such features.
            Err(error @ flora_data::Error::Features { .. }) => Err(error.into()),
            Err(error) => {
                let problem = format!("image features are not kept for the next run: {error}");
                notify(Notice::Warning(problem));
                Ok(features.into())
            }
        }
    }

    /// Everything that the features depend on. The weights alone are not enough: heads, activation and
    /// epsilon are in the configuration only. And rounding differs between devices.
    fn key(&self, dataset: &Dataset) -> Result<FeatureKey, InferenceError> {
        let Self { checkpoint, device, adapted } = self;
        let tower = serde_json::to_string(&checkpoint.config.vision_config).expect("plain data");
        let steps = serde_json::to_string(&checkpoint.preprocessor).expect("plain data");
        let weights = match adapted {
            Some(fingerprint) => fingerprint.clone(),
            None => checkpoint.digest()?,
        };
        Ok(FeatureKey {
            checkpoint: format!("{weights} as {tower}"),
            preprocessing: format!("version {VERSION}: {steps} on {device:?}"),
            data: dataset.fingerprint()?,
        })
    }

    fn compute(
        &self,
        clip: Clip,
        dataset: &Dataset,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<Features, InferenceError> {
        let preprocessor = &self.checkpoint.preprocessor;
        let total = dataset.len();
        let encode = |indices: &[usize]| -> Result<Vec<f32>, InferenceError> {
            let pixels = pixels(preprocessor, dataset, indices)?;
            Ok(values(clip.image_features(preprocessor.stack(pixels, self.device))))
        };
        let all: Vec<usize> = (0..total).collect();
        let parts = workers.try_map(all.chunks(BATCH).collect(), encode, |done| {
            notify(Notice::Progress { done: (done * BATCH).min(total), total });
        })?;
        let dim = self.checkpoint.config.projection_dim;
        let mut values = Vec::with_capacity(total * dim);
        // Each part goes as it is taken: not twice the memory.
        for part in parts {
            values.extend(part);
        }
        Ok(Features { dim, values })
    }
}

/// What the vision tower takes of the images `indices` of a data set, one after the other; see
/// [`Preprocessor::stack`].
///
/// # Errors
///
/// The first image that cannot be read or preprocessed, by name.
pub fn pixels(
    preprocessor: &Preprocessor,
    dataset: &Dataset,
    indices: &[usize],
) -> Result<Vec<f32>, InferenceError> {
    let mut pixels = Vec::new();
    for &index in indices {
        let values = preprocessor.pixel_values(&dataset.image(index)?);
        let place = || dataset.describe(index);
        pixels.extend(values.map_err(|error| InferenceError::Image { place: place(), error })?);
    }
    Ok(pixels)
}
