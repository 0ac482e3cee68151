use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, Features};

use burn::tensor::{Tensor, TensorData};

use crate::encode::values;
use crate::{Classifier, InferenceError, Model, Notice, image_rows};

/// The scores of a classifier for a data set's images.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The logits, row-major, `[images, classes]`.
    pub values: Vec<f32>,
}

/// The logits of every image of a data set; select a part with [`Dataset::only`] first. Image features are read from
/// the cache, or added to it.
///
/// # Errors
///
/// An image that cannot be read.
pub fn score(
    model: &Model,
    classifier: &dyn Classifier,
    dataset: &Dataset,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Scores, InferenceError> {
    let classes = dataset.classes().len();
    if dataset.is_empty() {
        return Ok(Scores { labels: Vec::new(), classes, values: Vec::new() });
    }
    let rows = image_rows(model, dataset, cache, workers, notify)?;
    let Features { dim, values: rows } = rows.into_memory()?;
    let rows = TensorData::new(rows, [dataset.len(), dim]);
    let rows = Tensor::<2>::from_data(rows, model.embedder.device());
    let labels = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    Ok(Scores { labels, classes, values: values(classifier.logits(rows)) })
}
