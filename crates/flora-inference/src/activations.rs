//! The states below the first adapter of a vision tower, computed once for every image of a data set and cached on
//! disk.

use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Precision, VisionCut};
use flora_core::disk::bytes;
use flora_core::workers::Workers;
use flora_data::{BegunActivations, Dataset, FeatureCache, FeatureKey, FeatureRows};

use crate::InferenceError;
use crate::encode::BATCH;
use crate::encoding::{Encoding, Notice, key};
use crate::unusable::{unreadable, unusable_images};

/// The part of a vision tower below a cut.
pub struct BelowCut<'a> {
    /// The checkpoint of the weights.
    pub checkpoint: &'a Checkpoint,
    /// The device, without autodiff.
    pub device: &'a Device,
    /// The precision of the products.
    pub precision: Precision,
    /// The cut.
    pub cut: VisionCut,
    /// From `[batch, 3, size, size]` to `[batch, cut.numbers()]`: see
    /// [`VisionModel::prefix`](flora_clip::VisionModel::prefix).
    pub encode: &'a (dyn Fn(Tensor<4>) -> Tensor<2> + Sync),
}

/// A row of `cut.numbers()` for every image of `dataset`, in the cache's file. Missing rows are computed; a
/// [`Notice::Note`] announces the size before. `None` if the cache's folder cannot be written, which is a
/// [`Notice::Warning`].
///
/// Finished batches are stored while the others are computed, so that the next call resumes where a killed process
/// stopped. A call waits for another process that computes the same.
///
/// # Errors
///
/// [`InferenceError::NoRoom`] before anything is computed; [`InferenceError::Unreadable`] with all images that cannot
/// be used; values that are not finite in the cache's type; and a full disk.
pub fn activations(
    below: &BelowCut<'_>,
    dataset: &Dataset,
    cache: &FeatureCache,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Option<FeatureRows>, InferenceError> {
    let &BelowCut { checkpoint, device, cut, encode, .. } = below;
    let preprocessor = &checkpoint.preprocessor;
    let data = match dataset.fingerprint() {
        Ok(data) => data,
        Err(error) => {
            // A file that cannot be read; it may not be the only one.
            let progress = &mut |done, total| notify(Notice::Progress { done, total });
            let unusable = unusable_images(dataset, Some(preprocessor), workers, progress);
            return Err(match unusable.is_empty() {
                true => error.into(),
                false => unreadable(unusable, dataset, 0, None),
            });
        }
    };
    let key = below.key(data)?;
    let shape = [dataset.len(), cut.numbers()];
    let found = cache.load_activations(&key, shape, &mut |it| notify(Notice::Warning(it)));
    match found {
        Ok(Some(file)) => return Ok(Some(FeatureRows::Activations(file))),
        Ok(None) => {}
        Err(error) => return Ok(not_kept(&error, notify)),
    }
    let (needed, free) = cache.room_for_activations(&key, shape);
    let size = size(dataset.len(), cut, cache.dtype().size());
    let folder = cache.folder().display();
    notify(Notice::Note(format!(
        "the states of the images below the vision tower's first adapter ({cut}) are computed once and \
             cached: {size} in {folder}"
    )));
    check_room(&size, needed, free, &folder.to_string())?;
    let begun = cache.begin_activations(&key, shape, BATCH, &mut |it| notify(Notice::Warning(it)));
    let mut filling = match begun {
        Ok(BegunActivations::Filling(filling)) => filling,
        Ok(BegunActivations::Stored(file)) => return Ok(Some(FeatureRows::Activations(file))),
        Err(error) => return Ok(not_kept(&error, notify)),
    };
    let encoding = Encoding { dataset, preprocessor, device, width: cut.numbers(), encode };
    let first = filling.rows();
    let unusable = encoding.run(first, workers, notify, |rows, _| Ok(filling.append(rows)?))?;
    if !unusable.is_empty() {
        filling.abandon();
        return Err(unreadable(unusable, dataset, 0, None));
    }
    Ok(Some(FeatureRows::Activations(filling.finish()?)))
}

/// Checks that there is room for the [`activations`] of all these data sets together, as far as they are not cached.
/// Unreadable images are ignored: [`activations`] names them.
///
/// # Errors
///
/// [`InferenceError::NoRoom`], and weights that can no longer be read.
pub fn check_room_for_activations(
    below: &BelowCut<'_>,
    datasets: &[&Dataset],
    cache: &FeatureCache,
) -> Result<(), InferenceError> {
    let (mut images, mut needed, mut free) = (0, 0u64, None);
    for dataset in datasets {
        let Ok(data) = dataset.fingerprint() else { return Ok(()) };
        let shape = [dataset.len(), below.cut.numbers()];
        let (more, there) = cache.room_for_activations(&below.key(data)?, shape);
        (images, needed, free) = (images + dataset.len(), needed.saturating_add(more), there);
    }
    let size = size(images, below.cut, cache.dtype().size());
    check_room(&size, needed, free, &cache.folder().display().to_string())
}

impl BelowCut<'_> {
    /// Everything that determines the activations of images; `data` is the images' fingerprint.
    fn key(&self, data: String) -> Result<FeatureKey, InferenceError> {
        let weights = format!("{}, {},", self.checkpoint.digest()?, self.cut);
        Ok(key(self.checkpoint, self.device, self.precision, &weights, data))
    }
}

fn not_kept(error: &flora_data::Error, notify: &mut dyn FnMut(Notice)) -> Option<FeatureRows> {
    notify(Notice::Warning(format!(
        "{error}; the whole vision tower is computed at every step instead"
    )));
    None
}

/// The size for messages: images, tokens, width and bytes, and their product.
fn size(images: usize, cut: VisionCut, element: usize) -> String {
    let [states, width] = cut.shape();
    let total = (images * states * width * element) as u64;
    format!("{images} images x {states} x {width} numbers x {element} bytes = {}", bytes(total))
}

/// A disk is not filled completely: a hundredth of the size has to remain free.
fn check_room(
    size: &str,
    needed: u64,
    free: Option<u64>,
    folder: &str,
) -> Result<(), InferenceError> {
    match free {
        Some(free) if free < needed.saturating_add(needed / 100) => Err(InferenceError::NoRoom {
            size: size.to_owned(),
            needed: bytes(needed),
            free: bytes(free),
            folder: folder.to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_in_numbers() {
        let check = |needed, free| check_room("2 x 3 = 6", needed, free, "the/cache");
        assert!(check(4096, None).is_ok());
        assert!(check(4096, Some(4096 + 40)).is_ok());
        assert!(check(0, Some(0)).is_ok());
        let error = check(4096, Some(4096 + 39)).unwrap_err().to_string();
        assert_eq!(
            error,
            "the states below the first adapter take 2 x 3 = 6, of which 4.00 KiB are still to be written; with 1 % to \
             spare, that is more than the 4.04 KiB that are free in the/cache"
        );
    }
}
