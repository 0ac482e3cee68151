//! The image features of a data set, computed once and cached on disk.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Clip, ClipError, Precision, Readout};
use flora_core::workers::Workers;
use flora_data::{Begun, Dataset, FeatureCache, FeatureKey, FeatureRows, Features, Lookup};

use crate::encode::BATCH;
use crate::encoding::{Encoding, Notice, key};
use crate::unusable::{unreadable, unusable_images};
use crate::{InferenceError, Model};

/// The features of every image of `dataset`, cached or computed; in the cache's file if there is one.
///
/// Finished batches are stored in a file of the cache while the others are computed, so that the next call resumes
/// where a killed process stopped. A call waits for another process that computes the same features.
///
/// # Errors
///
/// [`InferenceError::Unreadable`] with all images that cannot be used. After the first of them, the others are checked
/// but not encoded; the rows before it are kept for a call with these files repaired or removed. Also weights that can
/// no longer be read.
pub fn image_features(
    model: &Model,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    rows(model, None, dataset, cache, workers, notify)
}

/// The inputs of a [classifier](crate::Classifier) of this model for every image of `dataset`: see
/// [`Model::image_rows`].
///
/// # Errors
///
/// As [`image_features`].
pub fn image_rows(
    model: &Model,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    rows(model, model.readout.as_ref(), dataset, cache, workers, notify)
}

fn rows(
    model: &Model,
    readout: Option<&Readout>,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    // An adapter of the text tower does not change image features.
    let adapted = model.adapts_vision().then(|| model.fingerprint()).transpose()?;
    let device = model.embedder.device().clone().inner();
    let precision = model.precision();
    let tower =
        Tower { checkpoint: &model.checkpoint, device: &device, adapted, readout, precision };
    let clip = || Ok(model.clip().valid());
    tower.features(clip, dataset, cache, workers, notify)
}

/// [`image_features`] of an unchanged checkpoint. Its weights are loaded and put on `device` only if the features are
/// not cached; `load` replaces [`Checkpoint::load`] where needed.
///
/// # Errors
///
/// Those of [`image_features`] and `load`.
pub fn checkpoint_features(
    checkpoint: &Checkpoint,
    load: impl FnOnce() -> Result<Clip, ClipError>,
    device: &Device,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    let tower = FrozenTower { checkpoint, readout: None, precision: Precision::F32 };
    checkpoint_rows(tower, load, device, dataset, cache, workers, notify)
}

/// A checkpoint's unchanged vision tower, and the features to compute with it.
#[derive(Debug, Clone, Copy)]
pub struct FrozenTower<'a> {
    /// The checkpoint of the weights.
    pub checkpoint: &'a Checkpoint,
    /// Additional features to read, if any.
    pub readout: Option<&'a Readout>,
    /// The precision of the products.
    pub precision: Precision,
}

/// [`checkpoint_features`] in any precision; with a readout, the rows of [`Clip::image_rows`].
///
/// # Errors
///
/// Those of [`checkpoint_features`], and a device that does not support the precision.
pub fn checkpoint_rows(
    FrozenTower { checkpoint, readout, precision }: FrozenTower<'_>,
    load: impl FnOnce() -> Result<Clip, ClipError>,
    device: &Device,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    let device = device.clone().inner();
    precision.check(&device)?;
    let tower = Tower { checkpoint, device: &device, adapted: None, readout, precision };
    let clip = || Ok(load()?.valid().in_precision(precision)?);
    tower.features(clip, dataset, cache, workers, notify)
}

/// A vision tower that may not be in memory.
struct Tower<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    /// The fingerprint of the whole model, if it differs from the checkpoint's tower.
    adapted: Option<String>,
    /// Additional features to read.
    readout: Option<&'a Readout>,
    /// The precision of the products.
    precision: Precision,
}

impl Tower<'_> {
    /// Numbers per image.
    fn width(&self) -> usize {
        let config = &self.checkpoint.config;
        match self.readout {
            Some(readout) => 2 * config.projection_dim + readout.width(&config.vision_config),
            None => config.projection_dim,
        }
    }

    fn features(
        &self,
        clip: impl FnOnce() -> Result<Clip, InferenceError>,
        dataset: &Dataset,
        cache: Option<&FeatureCache>,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<FeatureRows, InferenceError> {
        let dim = self.width();
        let Some(cache) = cache else {
            let mut values = Vec::with_capacity(dataset.len() * dim);
            let unusable = self.encode(&clip()?, dataset, 0, workers, notify, |rows, _| {
                values.extend(rows);
                Ok(())
            })?;
            return match unusable.is_empty() {
                true => Ok(Features { dim, values }.into()),
                false => Err(unreadable(unusable, dataset, 0, None)),
            };
        };
        let data = match dataset.fingerprint() {
            Ok(data) => data,
            Err(error) => {
                // A file that cannot be read; it may not be the only one.
                let preprocessor = Some(&self.checkpoint.preprocessor);
                let unusable =
                    unusable_images(dataset, preprocessor, workers, &mut |done, total| {
                        notify(Notice::Progress { done, total });
                    });
                return Err(match unusable.is_empty() {
                    true => error.into(),
                    false => unreadable(unusable, dataset, 0, None),
                });
            }
        };
        let key = self.key(data)?;
        // A problem of the cache costs time, but never changes the result.
        match cache.load(&key, dataset.len()) {
            Ok(Lookup::Hit(features)) => return Ok(FeatureRows::File(features)),
            Ok(Lookup::Miss) => {}
            Ok(Lookup::Damaged(problem)) => notify(Notice::Warning(problem)),
            Err(error) => {
                notify(Notice::Warning(format!("{error}; the image features are computed again")));
            }
        }
        let shape = [dataset.len(), dim];
        let mut filling = match cache
            .begin(&key, shape, BATCH, &mut |problem| notify(Notice::Warning(problem)))
        {
            Begun::Filling(filling) => filling,
            Begun::Stored(features) => return Ok(FeatureRows::File(features)),
        };
        let first = |count| self.key(dataset.fingerprint_of_first(count)?);
        filling
            .take_aside(dataset.len(), first, &mut |problem| notify(Notice::Warning(problem)))?;
        let done = filling.rows();
        if done < dataset.len() {
            let unusable =
                self.encode(&clip()?, dataset, done, workers, notify, |rows, notify| {
                    Ok(filling.append(rows, &mut |problem| notify(Notice::Warning(problem)))?)
                })?;
            if !unusable.is_empty() {
                let kept = filling.rows();
                let warn = &mut |problem| notify(Notice::Warning(problem));
                let partial = filling.set_aside(&first(kept)?, warn);
                return Err(unreadable(unusable, dataset, kept, partial));
            }
        }
        Ok(filling.finish(&mut |problem| notify(Notice::Warning(problem)))?)
    }

    /// Everything that determines the features.
    fn key(&self, data: String) -> Result<FeatureKey, InferenceError> {
        let weights = match &self.adapted {
            Some(fingerprint) => fingerprint.clone(),
            None => self.checkpoint.digest()?,
        };
        let read = self.readout.map_or(String::new(), |readout| format!(", reading {readout}"));
        Ok(key(self.checkpoint, self.device, self.precision, &format!("{weights}{read}"), data))
    }

    fn encode(
        &self,
        clip: &Clip,
        dataset: &Dataset,
        first: usize,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
        take: impl FnMut(Vec<f32>, &mut dyn FnMut(Notice)) -> Result<(), InferenceError>,
    ) -> Result<Vec<String>, InferenceError> {
        let encode = |pixels: Tensor<4>| match self.readout {
            Some(readout) => clip.image_rows(pixels, readout),
            None => clip.image_features(pixels),
        };
        let encoding = Encoding {
            dataset,
            preprocessor: &self.checkpoint.preprocessor,
            device: self.device,
            width: self.width(),
            encode: &encode,
        };
        encoding.run(first, workers, notify, take)
    }
}
