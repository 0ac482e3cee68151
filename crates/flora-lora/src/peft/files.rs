use std::io::ErrorKind;
use std::path::Path;

use crate::LoraError;

pub(super) const CONFIG_FILE: &str = "adapter_config.json";
pub(super) const TENSOR_FILE: &str = "adapter_model.safetensors";
/// The file that `peft` writes without safetensors.
pub(super) const PICKLE_FILE: &str = "adapter_model.bin";

/// The prefix of every name in PEFT's file: the fields of its wrapper.
pub(super) const PREFIX: &str = "base_model.model.";

/// Checks that there is a regular file of at most `most` bytes: opening a pipe would block.
pub(super) fn check(path: &Path, most: u64) -> Result<(), LoraError> {
    let shown = || path.display().to_string();
    let refuse = |problem| Err(LoraError::AdapterFile { path: shown(), problem });
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => refuse(
            "missing; an adapter is a folder with adapter_config.json and \
             adapter_model.safetensors, as PEFT's save_pretrained writes it, and `flora run` as \
             adapter/ in its run folder"
                .into(),
        ),
        Err(source) => Err(LoraError::Io { path: shown(), source }),
        Ok(metadata) if !metadata.is_file() => refuse("not a file".into()),
        Ok(metadata) if metadata.len() > most => {
            refuse(format!("{} bytes; at most {most} are read", metadata.len()))
        }
        Ok(_) => Ok(()),
    }
}
