//! The vision tower's view of every image of a data set, computed once and kept on disk.

use burn::module::Module;
use flora_clip::Preprocessor;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureKey, Features, Lookup};

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

/// The features of every image of `dataset`, from the cache or computed.
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
) -> Result<Features, InferenceError> {
    let Some(cache) = cache else { return compute(model, dataset, workers, notify) };
    let key = key(model, dataset)?;
    // A cache that cannot be used costs time, never the result.
    match cache.load(&key, dataset.len()) {
        Ok(Lookup::Hit(features)) => return Ok(features),
        Ok(Lookup::Miss) => {}
        Ok(Lookup::Damaged(problem)) => notify(Notice::Warning(problem)),
        Err(error) => {
            notify(Notice::Warning(format!("{error}; the image features are computed again")));
        }
    }
    let features = compute(model, dataset, workers, notify)?;
    if let Err(error) = cache.store(&key, &features) {
        let problem = format!("image features are not kept for the next run: {error}");
        notify(Notice::Warning(problem));
    }
    Ok(features)
}

/// Everything that the features depend on. The weights alone are not enough: heads, activation and
/// epsilon are in the configuration only. And rounding differs between devices.
fn key(model: &Model, dataset: &Dataset) -> Result<FeatureKey, InferenceError> {
    let checkpoint = &model.checkpoint;
    let tower = serde_json::to_string(&checkpoint.config.vision_config).expect("plain data");
    let steps = serde_json::to_string(&checkpoint.preprocessor).expect("plain data");
    let device = model.embedder.device().clone().inner();
    // An adapter of the text tower leaves images as they are.
    let weights = if model.adapts_vision() { model.fingerprint()? } else { checkpoint.digest()? };
    Ok(FeatureKey {
        checkpoint: format!("{weights} as {tower}"),
        preprocessing: format!("version {VERSION}: {steps} on {device:?}"),
        data: dataset.fingerprint()?,
    })
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

fn compute(
    model: &Model,
    dataset: &Dataset,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Features, InferenceError> {
    let clip = model.clip().valid();
    let device = model.embedder.device().clone().inner();
    let preprocessor = &model.embedder.preprocessor;
    let total = dataset.len();
    let encode = |indices: &[usize]| -> Result<Vec<f32>, InferenceError> {
        let pixels = pixels(preprocessor, dataset, indices)?;
        Ok(values(clip.image_features(preprocessor.stack(pixels, &device))))
    };
    let all: Vec<usize> = (0..total).collect();
    let parts = workers.try_map(all.chunks(BATCH).collect(), encode, |done| {
        notify(Notice::Progress { done: (done * BATCH).min(total), total });
    })?;
    let dim = model.checkpoint.config.projection_dim;
    Ok(Features { dim, values: parts.concat() })
}
