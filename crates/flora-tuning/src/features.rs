//! The frozen vision tower's view of every image, computed once and kept on disk.

use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, Features};
use flora_federation::Event;
use flora_inference::{Model, Notice};

use crate::{Observer, TuningError};

/// The features of every image of `dataset`, from the cache or computed.
pub(crate) fn image_features(
    model: &Model,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<Features, TuningError> {
    let mut notify = |notice| match notice {
        Notice::Progress { done, total } => observer.progress("images", done, total),
        Notice::Warning(message) => observer.event(&Event::Warning { message }),
    };
    Ok(flora_inference::image_features(model, dataset, cache, workers, &mut notify)?)
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
