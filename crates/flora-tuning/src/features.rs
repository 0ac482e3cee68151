//! The frozen vision tower's view of every image, computed once and kept on disk.

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, Preprocessor};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureKey, Features, Lookup};
use flora_federation::Event;

use crate::{Observer, TuningError};

/// Images that go through the tower together: enough for large products, few enough for caches.
const BATCH: usize = 32;

/// The features of every image of `dataset`, from the cache or computed.
pub(crate) fn image_features(
    checkpoint: &Checkpoint,
    clip: &Clip,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    device: &Device,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<Features, TuningError> {
    let Some(cache) = cache else {
        return compute(checkpoint, clip, dataset, device, workers, observer);
    };
    let key = key(checkpoint, dataset, device)?;
    let warn = |observer: &mut dyn Observer, message: String| {
        observer.event(&Event::Warning { message });
    };
    // A cache that cannot be used costs time, never the result.
    match cache.load(&key, dataset.len()) {
        Ok(Lookup::Hit(features)) => return Ok(features),
        Ok(Lookup::Miss) => {}
        Ok(Lookup::Damaged(problem)) => warn(observer, problem),
        Err(error) => warn(observer, format!("{error}; the image features are computed again")),
    }
    let features = compute(checkpoint, clip, dataset, device, workers, observer)?;
    if let Err(error) = cache.store(&key, &features) {
        warn(observer, format!("image features are not kept for the next run: {error}"));
    }
    Ok(features)
}

/// What this code makes of a picture: to be raised when the preprocessing or the tower computes
/// other numbers, so that features of an older version are not taken for its own.
const VERSION: u32 = 1;

/// Everything that the features depend on. The weights alone are not enough: heads, activation and
/// epsilon are in the configuration only. And rounding differs between devices.
fn key(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    device: &Device,
) -> Result<FeatureKey, TuningError> {
    let tower = serde_json::to_string(&checkpoint.config.vision_config).expect("plain data");
    let steps = serde_json::to_string(&checkpoint.preprocessor).expect("plain data");
    Ok(FeatureKey {
        checkpoint: format!("{} as {tower}", checkpoint.digest()?),
        preprocessing: format!("version {VERSION}: {steps} on {:?}", device.clone().inner()),
        data: dataset.fingerprint()?,
    })
}

fn compute(
    checkpoint: &Checkpoint,
    clip: &Clip,
    dataset: &Dataset,
    device: &Device,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<Features, TuningError> {
    let clip = clip.valid();
    let device = device.clone().inner();
    let preprocessor = &checkpoint.preprocessor;
    let encode = |indices: Vec<usize>| -> Result<Vec<f32>, TuningError> {
        let pixels = pixels(preprocessor, dataset, &indices)?;
        let features = clip.image_features(preprocessor.stack(pixels, &device));
        let features = features.into_data().convert::<f32>();
        Ok(features.try_into_vec::<f32>().expect("just converted"))
    };
    let all: Vec<usize> = (0..dataset.len()).collect();
    let batches: Vec<Vec<usize>> = all.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let parts = workers.try_map(batches, encode, |done| {
        observer.progress("images", (done * BATCH).min(dataset.len()), dataset.len());
    })?;
    let mut values = Vec::with_capacity(dataset.len() * checkpoint.config.projection_dim);
    for part in parts {
        values.extend(part);
    }
    Ok(Features { dim: checkpoint.config.projection_dim, values })
}

/// Decode every image once, so that a damaged file is told before the first round.
pub(crate) fn check_pictures(
    dataset: &Dataset,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let all: Vec<usize> = (0..dataset.len()).collect();
    let check = |index| dataset.image(index).map(drop);
    workers.try_map(all, check, |done| {
        observer.progress("checking images", done, dataset.len());
    })?;
    Ok(())
}

/// What the vision tower takes of the images `indices`, one after the other.
pub(crate) fn pixels(
    preprocessor: &Preprocessor,
    dataset: &Dataset,
    indices: &[usize],
) -> Result<Vec<f32>, TuningError> {
    let mut pixels = Vec::new();
    for &index in indices {
        let values = preprocessor.pixel_values(&dataset.image(index)?);
        let place = || dataset.describe(index);
        pixels.extend(values.map_err(|error| TuningError::Image { place: place(), error })?);
    }
    Ok(pixels)
}
