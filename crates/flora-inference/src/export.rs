use std::path::Path;

use flora_clip::{Checkpoint, SaveOptions};
use flora_lora::merge;

use crate::{InferenceError, Model};

/// Write a model with its adapter folded into the weights.
///
/// # Errors
///
/// Those of [`Checkpoint::save`].
pub fn export_merged(
    model: Model,
    folder: &Path,
    options: SaveOptions,
) -> Result<(), InferenceError> {
    let Checkpoint { config, tokenizer, preprocessor, .. } = &model.checkpoint;
    let clip = merge(model.embedder.clip);
    Ok(Checkpoint::save(folder, &clip, config, tokenizer, preprocessor, options)?)
}
