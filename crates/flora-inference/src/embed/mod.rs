//! Embeddings of texts and images, in files for other tools.
//!
//! Finished rows are stored beside the target, in `<target>.partial`, until the target is complete: the same call
//! resumes where an earlier one stopped or was killed. It resumes with a whole batch, so that the target is
//! bit-identical to one without the interruption. Each row has a checksum; a damaged one is recomputed.

mod format;
mod items;
mod partial;

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use flora_clip::normalize;
use flora_core::hex;
use flora_core::workers::Workers;
use flora_data::read_image;
use sha2::{Digest, Sha256};

use crate::encode::{BATCH, VERSION, file_pixels, values};
use crate::unusable::problem;
use crate::{InferenceError, Model, Notice};
pub use format::{Format, TENSOR};
pub use items::Items;
use partial::Partial;

/// Texts per step: enough that texts of equal length fill a batch of the tower.
const TEXTS: usize = 256;

/// A summary of the written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// Rows of the file.
    pub rows: usize,
    /// Numbers per row.
    pub dim: usize,
    /// Rows that an earlier call had computed.
    pub resumed: usize,
}

/// Embeds `items` into the file `target`: row i belongs to item i, `[items, projection_dim]`, with norm 1 unless `raw`.
/// `notify` receives the number of rows, first those of an earlier call, and reports damaged rows.
///
/// Rows of an earlier call are reused in whole batches as long as its items are the same, with the same model on the
/// same device.
///
/// # Errors
///
/// [`InferenceError::Unreadable`] with the images that cannot be embedded; the rows before them are kept for the next
/// call. A file that cannot be written; a partial file that another call is writing, or that flora did not write.
pub fn embed(
    model: &Model,
    items: Items<'_>,
    target: &Path,
    raw: bool,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Embedded, InferenceError> {
    let format = Format::of(target)?;
    let dim = model.checkpoint.config.projection_dim;
    let hashes = items.hashes()?;
    if hashes.is_empty() {
        return Err(InferenceError::file(target, "nothing to embed"));
    }
    if target.is_dir() {
        return Err(InferenceError::file(target, "is a folder; name a file"));
    }
    let batch = match items {
        Items::Texts(_) => TEXTS,
        Items::Images(_) => BATCH,
    };
    let device = model.embedder.device();
    let key = format!("{VERSION} {raw} {batch} {device:?} {}", model.fingerprint()?);
    let key = hex::encode(&Sha256::digest(key.as_bytes()));
    let (mut partial, warning) = Partial::open(target, &key, dim, &hashes, batch)?;
    if let Some(warning) = warning {
        notify(Notice::Warning(warning));
    }
    let resumed = partial.rows();
    let total = hashes.len();
    let mut done = |done| notify(Notice::Progress { done, total });
    done(resumed);
    let finish = |features| values(if raw { features } else { normalize(features) });
    match items {
        Items::Texts(texts) => {
            for batch in texts[resumed..].chunks(TEXTS) {
                partial.append(&finish(model.embedder.texts(batch)?))?;
                done(partial.rows());
            }
        }
        Items::Images(files) => {
            // Each round gives every thread a batch; rows are appended in order.
            let mut rounds = files[resumed..].chunks(BATCH * workers.threads());
            while let Some(round) = rounds.next() {
                let before = partial.rows();
                let encode = |batch: &[PathBuf]| features(model, batch).map(&finish);
                let batches = round.chunks(BATCH).collect();
                let parts = workers.map(batches, encode, |batches, _| {
                    done(before + (batches * BATCH).min(round.len()));
                });
                let mut problems = Vec::new();
                for part in parts {
                    match part {
                        Ok(rows) if problems.is_empty() => partial.append(&rows)?,
                        Ok(_) => {}
                        Err(unreadable) => problems.extend(unreadable),
                    }
                }
                if !problems.is_empty() {
                    // The others are checked, so that all are reported at once.
                    let rest: Vec<&PathBuf> = rounds.flatten().collect();
                    let before = files.len() - rest.len();
                    let check = |path: &PathBuf| unusable_file(model, path);
                    let found = workers.map(rest, check, |count, _| done(before + count));
                    problems.extend(found.into_iter().flatten());
                    return Err(InferenceError::Unreadable {
                        problems,
                        kept: partial.rows(),
                        rows: files.len(),
                        partial: Some(partial.path().display().to_string()),
                    });
                }
            }
        }
    }
    let rows = partial.rows();
    partial.finish(target, format)?;
    Ok(Embedded { rows, dim, resumed })
}

/// The features of images, or the problem of each unreadable one.
fn features(model: &Model, files: &[PathBuf]) -> Result<Tensor<2>, Vec<String>> {
    let preprocessor = &model.embedder.preprocessor;
    let (mut pixels, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        match file_pixels(preprocessor, path) {
            Ok(values) if problems.is_empty() => pixels.extend(values),
            Ok(_) => {}
            Err(error) => problems.push(problem(&error)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let pixels = preprocessor.stack(pixels, model.embedder.device());
    Ok(model.clip().image_features(pixels))
}

/// The problem of an image file, if there is one.
fn unusable_file(model: &Model, path: &Path) -> Option<String> {
    let check = || -> Result<(), InferenceError> {
        let image = read_image(path)?;
        let size = model.embedder.preprocessor.check_size(image.width(), image.height());
        size.map_err(|error| InferenceError::file(path, error.to_string()))
    };
    check().err().map(|error| problem(&error))
}
