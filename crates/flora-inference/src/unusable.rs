//! Images that cannot be used, all reported at once.

use std::path::PathBuf;

use flora_clip::Preprocessor;
use flora_core::workers::Workers;
use flora_data::Dataset;

use crate::InferenceError;

/// Decodes every image of `dataset`; returns the problem of each image that cannot be read or, with a `preprocessor`,
/// that the model cannot process. `done` receives the number of checked images and the total.
pub fn unusable_images(
    dataset: &Dataset,
    preprocessor: Option<&Preprocessor>,
    workers: &Workers,
    done: &mut dyn FnMut(usize, usize),
) -> Vec<String> {
    let total = dataset.len();
    let check = |index| unusable_image(dataset, preprocessor, index);
    let found = workers.map((0..total).collect(), check, |count, _| done(count, total));
    found.into_iter().flatten().collect()
}

/// The problem of an image, if there is one.
pub(crate) fn unusable_image(
    dataset: &Dataset,
    preprocessor: Option<&Preprocessor>,
    index: usize,
) -> Option<String> {
    let check = || -> Result<(), InferenceError> {
        let image = dataset.image(index)?;
        let size = preprocessor.map(|it| it.check_size(image.width(), image.height()));
        let place = || dataset.describe(index);
        size.transpose().map_err(|error| InferenceError::Image { place: place(), error })?;
        Ok(())
    };
    check().err().map(|error| problem(&error))
}

/// The error of one image as an entry of a list, without the remedy, which is common to all.
pub(crate) fn problem(error: &InferenceError) -> String {
    match error {
        InferenceError::Data(flora_data::Error::Image { place, problem }) => {
            format!("{place}: {problem}")
        }
        other => other.to_string(),
    }
}

/// The error for unusable images of a data set; the features of the first `kept` are at `partial`.
pub(crate) fn unreadable(
    problems: Vec<String>,
    dataset: &Dataset,
    kept: usize,
    partial: Option<PathBuf>,
) -> InferenceError {
    let partial = partial.map(|path| path.display().to_string());
    InferenceError::Unreadable { problems, kept, rows: dataset.len(), partial }
}
