//! Embeddings of texts and of images, in files that other tools read.
//!
//! What has been computed is kept beside the target, in `<target>.partial`, until the target is whole:
//! the same call goes on where an earlier one stopped.

mod format;
mod items;
mod partial;

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use flora_clip::normalize;
use flora_core::hex;
use flora_core::workers::Workers;
use sha2::{Digest, Sha256};

use crate::encode::{BATCH, VERSION, file_pixels, values};
use crate::{InferenceError, Model};
pub use format::{Format, TENSOR};
pub use items::Items;
use partial::Partial;

/// Texts a step: enough that those of a length fill a batch of the tower.
const TEXTS: usize = 256;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// Rows of the file.
    pub rows: usize,
    /// Numbers a row.
    pub dim: usize,
    /// Rows that an earlier call had computed.
    pub resumed: usize,
}

/// Embed `items` into the file `target`: row i is that of item i, `[items, projection_dim]`, each of
/// length 1 unless `raw`. `done` hears how many rows there are, first those of an earlier call.
///
/// Rows of an earlier call are taken as far as its items are the same, with the same model.
///
/// # Errors
///
/// [`InferenceError::Unreadable`] names the images that cannot be embedded; the rows before them are
/// kept for the next call. A file that cannot be written, and a partial file that another call is
/// writing or that is none of ours.
pub fn embed(
    model: &Model,
    items: Items<'_>,
    target: &Path,
    raw: bool,
    workers: &Workers,
    mut done: impl FnMut(usize),
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
    let key = format!("{VERSION} {raw} {}", model.fingerprint()?);
    let key = hex::encode(&Sha256::digest(key.as_bytes()));
    let mut partial = Partial::open(target, &key, dim, &hashes)?;
    let resumed = partial.rows();
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
            // Each round gives every thread a batch; rows are appended in their order.
            for round in files[resumed..].chunks(BATCH * workers.threads()) {
                let before = partial.rows();
                let encode = |batch: &[PathBuf]| {
                    let (images, unreadable) = readable(model, batch);
                    (images.map_or_else(Vec::new, &finish), unreadable)
                };
                let batches = round.chunks(BATCH).collect();
                let parts = workers.map(batches, encode, |batches, _| {
                    done(before + (batches * BATCH).min(round.len()));
                });
                let mut problems = Vec::new();
                for (rows, unreadable) in parts {
                    if problems.is_empty() {
                        partial.append(&rows)?;
                    }
                    problems.extend(unreadable);
                }
                if !problems.is_empty() {
                    return Err(InferenceError::Unreadable {
                        problems,
                        kept: partial.rows(),
                        rows: files.len(),
                        partial: partial.path().display().to_string(),
                    });
                }
            }
        }
    }
    let rows = partial.rows();
    partial.finish(target, format)?;
    Ok(Embedded { rows, dim, resumed })
}

/// The features of the images before the first that cannot be read, and what is wrong with every one
/// that cannot.
fn readable(model: &Model, files: &[PathBuf]) -> (Option<Tensor<2>>, Vec<String>) {
    let preprocessor = &model.embedder.preprocessor;
    let (mut pixels, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        match file_pixels(preprocessor, path) {
            Ok(values) if problems.is_empty() => pixels.extend(values),
            Ok(_) => {}
            Err(error) => problems.push(error.to_string()),
        }
    }
    if pixels.is_empty() {
        return (None, problems);
    }
    let pixels = preprocessor.stack(pixels, model.embedder.device());
    (Some(model.clip().image_features(pixels)), problems)
}
