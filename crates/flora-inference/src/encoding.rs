//! Images on their way through a tower, batch by batch.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Precision, Preprocessor};
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureKey};

use crate::InferenceError;
use crate::encode::{BATCH, VERSION, values};
use crate::unusable::{problem, unusable_image};

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
    /// Something worth knowing that is in order: what is about to be done, and how large it is.
    Note(String),
    /// Something that costs time, but not the result.
    Warning(String),
}

/// Everything that what a tower makes of images depends on; `weights` tells them from all others. They alone are not
/// enough: heads, activation and epsilon are in the configuration only. And rounding differs between devices.
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

/// What is computed of the images of a data set, a row for each.
pub(crate) struct Encoding<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) preprocessor: &'a Preprocessor,
    pub(crate) device: &'a Device,
    /// The numbers of a row.
    pub(crate) width: usize,
    /// From `[batch, 3, size, size]` to `[batch, width]`.
    pub(crate) encode: &'a (dyn Fn(Tensor<4>) -> Tensor<2> + Sync),
}

impl Encoding<'_> {
    /// Encode the images from number `first` on, which is a multiple of [`BATCH`]: the batches, and so the
    /// bits, are those of a call that begins with the first image. `take` gets the rows of each batch, in
    /// the order of the images, up to the first that has none: one of its images cannot be used, or another
    /// thread had found such an image already. What comes back says what is wrong with each such image.
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
