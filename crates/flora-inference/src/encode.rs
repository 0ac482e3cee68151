use std::path::Path;

use burn::tensor::Tensor;
use flora_clip::Preprocessor;
use flora_data::read_image;

use crate::InferenceError;

/// Images per batch of the tower: enough for large products, few enough for caches.
pub(crate) const BATCH: usize = 32;

/// The version of this code's results: increase it when the preprocessing or the towers compute other numbers, so that
/// results of an older version are not reused.
pub(crate) const VERSION: u32 = 4;

/// Preprocesses an image file for the vision tower.
pub(crate) fn file_pixels(
    preprocessor: &Preprocessor,
    path: &Path,
) -> Result<Vec<f32>, InferenceError> {
    let values = preprocessor.pixel_values(&read_image(path)?);
    values.map_err(|error| InferenceError::file(path, error.to_string()))
}

/// Row-major values on the host.
pub(crate) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted")
}
