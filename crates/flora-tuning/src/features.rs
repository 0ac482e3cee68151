//! The frozen vision tower's view of every image, computed once and kept on disk.

use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, ClipError};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureRows};
use flora_federation::Event;
use flora_inference::{Notice, checkpoint_features};

use crate::{Observer, TuningError};

/// The features of every image of `dataset`, from the cache or computed by the model that `load` loads.
pub(crate) fn image_features(
    checkpoint: &Checkpoint,
    load: impl FnOnce() -> Result<Clip, ClipError>,
    device: &Device,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<FeatureRows, TuningError> {
    let mut notify = |notice| match notice {
        Notice::Progress { done, total } => observer.progress("images", done, total),
        Notice::Warning(message) => observer.event(&Event::Warning { message }),
    };
    let found = checkpoint_features(checkpoint, load, device, dataset, cache, workers, &mut notify);
    Ok(found?)
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
