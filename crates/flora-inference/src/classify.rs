use std::path::PathBuf;

use flora_core::workers::Workers;

use crate::encode::{BATCH, file_pixels, values};
use crate::{Classifier, InferenceError, Model};

/// The classes predicted for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Every class, by number, with its probability: the most probable first, ties in the order of the classes.
    pub ranked: Vec<(usize, f32)>,
}

/// Classifies image files. An unreadable image does not affect the others: its place holds the problem. `done` receives
/// the number of processed images.
pub fn classify(
    model: &Model,
    classifier: &dyn Classifier,
    files: &[PathBuf],
    workers: &Workers,
    mut done: impl FnMut(usize),
) -> Vec<Result<Prediction, InferenceError>> {
    let one_batch = |batch: &[PathBuf]| -> Vec<Result<Prediction, InferenceError>> {
        let embedder = &model.embedder;
        let (mut pixels, mut usable) = (Vec::new(), Vec::new());
        for path in batch {
            let values = file_pixels(&embedder.preprocessor, path);
            usable.push(values.map(|values| pixels.extend(values)));
        }
        let mut ranked = rank(model, classifier, pixels).into_iter();
        let mut next = |()| Prediction { ranked: ranked.next().expect("a row an image") };
        usable.into_iter().map(|image| image.map(&mut next)).collect()
    };
    let batches: Vec<_> = files.chunks(BATCH).collect();
    let mut count = 0;
    let results = workers.map(batches, one_batch, |_, batch| {
        count += batch.len();
        done(count);
    });
    results.into_iter().flatten().collect()
}

fn rank(model: &Model, classifier: &dyn Classifier, pixels: Vec<f32>) -> Vec<Vec<(usize, f32)>> {
    if pixels.is_empty() {
        return Vec::new();
    }
    let embedder = &model.embedder;
    let images = embedder.preprocessor.stack(pixels, embedder.device());
    let probabilities = classifier.probabilities(model.image_rows(images));
    let [_, classes] = probabilities.dims();
    let sorted = |row: &[f32]| {
        let mut ranked: Vec<_> = row.iter().copied().enumerate().collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        ranked
    };
    values(probabilities).chunks(classes).map(sorted).collect()
}
