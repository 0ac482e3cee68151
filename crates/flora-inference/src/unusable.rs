//! Images that cannot be used, told all at once.

use std::path::PathBuf;

use flora_clip::Preprocessor;
use flora_core::workers::Workers;
use flora_data::Dataset;

use crate::InferenceError;

/// Decode every image of `dataset`; what is wrong with each that cannot be read or, with a `preprocessor`, that
/// the model cannot take. `done` hears how many of how many images have been looked at.
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

/// What is wrong with an image, if anything is.
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

/// An error of one image as an entry of a list, which has the remedy for all.
pub(crate) fn problem(error: &InferenceError) -> String {
    match error {
        InferenceError::Data(flora_data::Error::Image { place, problem }) => {
            format!("{place}: {problem}")
        }
        other => other.to_string(),
    }
}

/// That images of a data set cannot be used; the features of the first `kept` lie at `partial`.
pub(crate) fn unreadable(
    problems: Vec<String>,
    dataset: &Dataset,
    kept: usize,
    partial: Option<PathBuf>,
) -> InferenceError {
    let partial = partial.map(|path| path.display().to_string());
    InferenceError::Unreadable { problems, kept, rows: dataset.len(), partial }
}
