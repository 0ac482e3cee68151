//! The vision tower's view of every image of a data set, computed once and kept on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, ClipError, Preprocessor, Readout};
use flora_core::workers::Workers;
use flora_data::{Begun, Dataset, FeatureCache, FeatureKey, FeatureRows, Features, Lookup};

use crate::encode::{BATCH, VERSION, values};
use crate::unusable::{problem, unreadable, unusable_image, unusable_images};
use crate::{InferenceError, Model};

/// News of a long computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// How far it is.
    Progress {
        /// Images or texts done, those of an earlier call included.
        done: usize,
        /// Images or texts in all.
        total: usize,
    },
    /// Something that costs time, but not the result.
    Warning(String),
}

/// The features of every image of `dataset`, from the cache or computed; in the cache's file if there is one.
///
/// Finished batches are kept in a file of the cache while the others are computed, so that the next call goes
/// on where a killed process stopped. A call waits for another process that computes the same features.
///
/// # Errors
///
/// [`InferenceError::Unreadable`] names all images that cannot be used. Once there is one, the others are looked at
/// and not encoded; the rows before it are kept for a call with these files mended, or without them. And weights
/// that cannot be read any more.
pub fn image_features(
    model: &Model,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    rows(model, None, dataset, cache, workers, notify)
}

/// What a [classifier](crate::Classifier) of this model gets of every image of `dataset`: see [`Model::image_rows`].
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
    // An adapter of the text tower leaves images as they are.
    let adapted = model.adapts_vision().then(|| model.fingerprint()).transpose()?;
    let device = model.embedder.device().clone().inner();
    let tower = Tower { adapted, readout, ..Tower::new(&model.checkpoint, &device) };
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
    let tower = Tower::new(checkpoint, &device.clone().inner());
    tower.features(|| Ok(load()?.valid()), dataset, cache, workers, notify)
}

/// [`checkpoint_features`], or with a `readout` what [`Clip::image_rows`] has of each image.
///
/// # Errors
///
/// As [`checkpoint_features`].
pub fn checkpoint_rows(
    (checkpoint, readout): (&Checkpoint, Option<&Readout>),
    load: impl FnOnce() -> Result<Clip, ClipError>,
    device: &Device,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<FeatureRows, InferenceError> {
    let tower = Tower { readout, ..Tower::new(checkpoint, &device.clone().inner()) };
    tower.features(|| Ok(load()?.valid()), dataset, cache, workers, notify)
}

/// A vision tower that may not be in memory.
struct Tower<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    /// Fingerprint of the whole model, where it is not the checkpoint's tower as it is.
    adapted: Option<String>,
    /// What is read besides the features.
    readout: Option<&'a Readout>,
}

impl<'a> Tower<'a> {
    fn new(checkpoint: &'a Checkpoint, device: &'a Device) -> Self {
        Self { checkpoint, device, adapted: None, readout: None }
    }

    /// Numbers of an image.
    fn width(&self) -> usize {
        let config = &self.checkpoint.config;
        match self.readout {
            Some(readout) => 2 * config.projection_dim + readout.width(&config.vision_config),
            None => config.projection_dim,
        }
    }
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
        // A cache that cannot be used costs time, never the result.
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

    /// Everything that the features depend on. The weights alone are not enough: heads, activation and
    /// epsilon are in the configuration only. And rounding differs between devices.
    fn key(&self, data: String) -> Result<FeatureKey, InferenceError> {
        let Self { checkpoint, device, adapted, readout } = self;
        let tower = serde_json::to_string(&checkpoint.config.vision_config).expect("plain data");
        let steps = serde_json::to_string(&checkpoint.preprocessor).expect("plain data");
        let weights = match adapted {
            Some(fingerprint) => fingerprint.clone(),
            None => checkpoint.digest()?,
        };
        let read = readout.map_or(String::new(), |readout| format!(", and {readout}"));
        Ok(FeatureKey {
            checkpoint: format!("{weights} as {tower}{read}"),
            preprocessing: format!("version {VERSION}: {steps} on {device:?}"),
            data,
        })
    }

    /// Encode the images from number `first` on, which is a multiple of [`BATCH`]: the batches, and so the
    /// bits, are those of a call that begins with the first image. `take` gets the rows of each batch, in
    /// the order of the images, up to the first that has none: one of its images cannot be used, or another
    /// thread had found such an image already. What comes back says what is wrong with each such image.
    fn encode(
        &self,
        clip: &Clip,
        dataset: &Dataset,
        first: usize,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
        mut take: impl FnMut(Vec<f32>, &mut dyn FnMut(Notice)) -> Result<(), InferenceError>,
    ) -> Result<Vec<String>, InferenceError> {
        let preprocessor = &self.checkpoint.preprocessor;
        let total = dataset.len();
        let mut done = first;
        notify(Notice::Progress { done, total });
        let failed = AtomicBool::new(false);
        // The features, or what is wrong with images; neither where images were only looked at.
        let encode = |indices: &[usize]| -> Result<_, InferenceError> {
            let (mut pixels, mut unusable) = (Vec::new(), Vec::new());
            for &index in indices {
                if unusable.is_empty() && !failed.load(Ordering::Relaxed) {
                    match pixel_values(preprocessor, dataset, index) {
                        Ok(values) => pixels.extend(values),
                        Err(error) => unusable.push(problem(&error)),
                    }
                } else {
                    unusable.extend(unusable_image(dataset, Some(preprocessor), index));
                }
            }
            failed.fetch_or(!unusable.is_empty(), Ordering::Relaxed);
            let whole = pixels.len() == preprocessor.numbers() * indices.len();
            if whole && indices.len() == 1 {
                // A product with a single row has a kernel of its own, whose sums have other bits. An image has the same
                // features whatever other images there are.
                pixels.extend_from_within(..);
            }
            let rows = || {
                let stack = preprocessor.stack(pixels, self.device);
                let mut rows = values(match self.readout {
                    Some(readout) => clip.image_rows(stack, readout),
                    None => clip.image_features(stack),
                });
                rows.truncate(indices.len() * self.width());
                rows
            };
            Ok((whole.then(rows), unusable))
        };
        let rest: Vec<usize> = (first..total).collect();
        let (mut unusable, mut whole) = (Vec::new(), true);
        workers.try_in_order(rest.chunks(BATCH).collect(), encode, |(rows, problems)| {
            unusable.extend(problems);
            // A batch may lack its rows and come before the image that is to blame: those after it would take its place.
            whole &= rows.is_some();
            if let Some(rows) = rows.filter(|_| whole) {
                take(rows, notify)?;
            }
            done = (done + BATCH).min(total);
            notify(Notice::Progress { done, total });
            Ok(())
        })?;
        Ok(unusable)
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
        pixels.extend(pixel_values(preprocessor, dataset, index)?);
    }
    Ok(pixels)
}

fn pixel_values(
    preprocessor: &Preprocessor,
    dataset: &Dataset,
    index: usize,
) -> Result<Vec<f32>, InferenceError> {
    let values = preprocessor.pixel_values(&dataset.image(index)?);
    values.map_err(|error| InferenceError::Image { place: dataset.describe(index), error })
}
