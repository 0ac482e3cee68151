use flora_clip::ZeroShot;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, Split};

use burn::tensor::{Tensor, TensorData};

use crate::encode::values;
use crate::{InferenceError, Model, Notice, image_features};

/// What a classifier makes of a data set's images.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The logits, row-major, `[images, classes]`.
    pub values: Vec<f32>,
}

/// The logits of every image of a split. Image features come from the cache, or go into it.
///
/// # Errors
///
/// An image that cannot be read.
pub fn score(
    model: &Model,
    classifier: &ZeroShot,
    dataset: &Dataset,
    split: Split,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Scores, InferenceError> {
    let features = image_features(model, dataset, cache, workers, notify)?;
    let indices = dataset.indices(split);
    let rows: Vec<f32> = indices.iter().flat_map(|&index| features.row(index)).copied().collect();
    let classes = dataset.classes().len();
    let labels = indices.iter().map(|&index| dataset.label(index)).collect();
    if indices.is_empty() {
        return Ok(Scores { labels, classes, values: Vec::new() });
    }
    let rows = TensorData::new(rows, [indices.len(), features.dim]);
    let rows = Tensor::<2>::from_data(rows, model.embedder.device());
    Ok(Scores { labels, classes, values: values(classifier.logits(rows)) })
}
