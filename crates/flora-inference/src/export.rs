use std::path::Path;

use flora_clip::{Checkpoint, SaveOptions};
use flora_lora::merge;

use crate::{InferenceError, Model};

/// Writes a model with its adapter merged into the weights, and its provenance, if known.
///
/// # Errors
///
/// Those of [`Checkpoint::save`] and [`Provenance::save`](crate::Provenance::save).
pub fn export_merged(
    model: Model,
    folder: &Path,
    options: SaveOptions,
) -> Result<(), InferenceError> {
    let Checkpoint { config, tokenizer, preprocessor, .. } = &model.checkpoint;
    let clip = merge(model.embedder.clip);
    Checkpoint::save(folder, &clip, config, tokenizer, preprocessor, options)?;
    match &model.provenance {
        Some(provenance) => provenance.save(folder),
        None => Ok(()),
    }
}
