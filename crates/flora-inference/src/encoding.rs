//! Encoding of images by a tower, batch by batch.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Precision, Preprocessor};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureKey};

use crate::InferenceError;
use crate::encode::{BATCH, VERSION, values};
use crate::unusable::{problem, unusable_image};

/// Reports of a long computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Progress.
    Progress {
        /// Images or texts done, including those of an earlier call.
        done: usize,
        /// The total number of images or texts.
        total: usize,
    },
    /// Information: a computation is about to start, and its size.
    Note(String),
    /// A problem that costs time, but does not change the result.
    Warning(String),
}

/// Everything that determines a tower's results for images; `weights` identifies the weights. These alone are not
/// enough: heads, activation and epsilon are only in the configuration, and rounding differs between devices.
pub(crate) fn key(
    checkpoint: &Checkpoint,
    device: &Device,
    precision: Precision,
    weights: &str,
    data: String,
) -> FeatureKey {
    let tower = serde_json::to_string(&checkpoint.config.vision_config).expect("plain data");
    let steps = serde_json::to_string(&checkpoint.preprocessor).expect("plain data");
    let rounded = match precision {
        Precision::F32 => String::new(),
        other => format!(" in {other}"),
    };
    FeatureKey {
        checkpoint: format!("{weights} as {tower}"),
        preprocessing: format!("version {VERSION}: {steps} on {device:?}{rounded}"),
        data,
    }
}

/// A computation on the images of a data set, one row per image.
pub(crate) struct Encoding<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) preprocessor: &'a Preprocessor,
    pub(crate) device: &'a Device,
    /// Numbers per row.
    pub(crate) width: usize,
    /// From `[batch, 3, size, size]` to `[batch, width]`.
    pub(crate) encode: &'a (dyn Fn(Tensor<4>) -> Tensor<2> + Sync),
}

impl Encoding<'_> {
    /// Encodes the images from number `first` on, which is a multiple of [`BATCH`]: the batches, and so the bits, are
    /// those of a call that begins with the first image. `take` receives the rows of each batch, in the order of the
    /// images, up to the first batch without rows: one of its images cannot be used, or another thread had found such
    /// an image already. Returns the problem of each such image.
    pub(crate) fn run(
        &self,
        first: usize,
        workers: &Workers,
        notify: &mut dyn FnMut(Notice),
        mut take: impl FnMut(Vec<f32>, &mut dyn FnMut(Notice)) -> Result<(), InferenceError>,
    ) -> Result<Vec<String>, InferenceError> {
        let &Self { dataset, preprocessor, device, width, encode: tower } = self;
        let total = dataset.len();
        let mut done = first;
        notify(Notice::Progress { done, total });
        let failed = AtomicBool::new(false);
        // The features, or the problems of images; neither if images were only checked.
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
                // A product with a single row has its own kernel, whose sums have other bits. The features of an image
                // must not depend on other images.
                pixels.extend_from_within(..);
            }
            let rows = || {
                let mut rows = values(tower(preprocessor.stack(pixels, device)));
                rows.truncate(indices.len() * width);
                rows
            };
            Ok((whole.then(rows), unusable))
        };
        let rest: Vec<usize> = (first..total).collect();
        let (mut unusable, mut whole) = (Vec::new(), true);
        workers.try_in_order(rest.chunks(BATCH).collect(), encode, |(rows, problems)| {
            unusable.extend(problems);
            // A batch without rows may precede the bad image: later batches would take its place.
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

/// The inputs of the vision tower for the images `indices` of a data set, concatenated; see [`Preprocessor::stack`].
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
