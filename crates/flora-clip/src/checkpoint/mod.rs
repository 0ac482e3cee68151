//! Folders in the layout of Hugging Face's `CLIPModel.save_pretrained`.

mod load;
mod names;
mod save;
mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use sha2::{Digest, Sha256};

use crate::{Clip, ClipConfig, ClipError, ClipTokenizer, Preprocessor};

/// A CLIP on disk: configuration, tokenizer and preprocessing, and the weights to load.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The model's shape.
    pub config: ClipConfig,
    /// The tokenizer that the model was trained with.
    pub tokenizer: ClipTokenizer,
    /// What images go through before the vision tower.
    pub preprocessor: Preprocessor,
    folder: PathBuf,
}

impl Checkpoint {
    /// Open a folder that holds `config.json` and `model.safetensors`, and optionally
    /// `vocab.json` with `merges.txt` or `tokenizer.json`, and `preprocessor_config.json`.
    ///
    /// # Errors
    ///
    /// A missing folder or file, and anything in the small files that is not understood. The
    /// weights are read by [`Checkpoint::load`].
    pub fn open(folder: &Path) -> Result<Self, ClipError> {
        let lacks = match (folder.is_dir(), folder.join("config.json").is_file()) {
            (false, _) => Some("no such folder"),
            (true, false) => Some("there is no config.json in it"),
            (true, true) => None,
        };
        if let Some(lacks) = lacks {
            let problem = format!(
                "{lacks}; a model is a folder with config.json and model.safetensors, as \
                 transformers' save_pretrained writes it"
            );
            return Err(ClipError::file(folder, problem));
        }
        let config = ClipConfig::from_file(&folder.join("config.json"))?;
        Ok(Self {
            tokenizer: ClipTokenizer::from_folder(folder, &config.text_config)?,
            preprocessor: Preprocessor::from_folder(folder, &config.vision_config)?,
            config,
            folder: folder.to_owned(),
        })
    }

    /// Load the weights, as f32 whatever their type in the file. The model is ready for inference;
    /// none of its parameters asks for gradients.
    ///
    /// # Errors
    ///
    /// A tensor that is missing, unused, misshapen, of a type that is not a float, or not finite,
    /// by name.
    pub fn load(&self, device: &Device) -> Result<Clip, ClipError> {
        let path = self.weights_path();
        let bytes = std::fs::read(&path).map_err(|error| ClipError::read(&path, error))?;
        load::load(Clip::skeleton(&self.config, device), &bytes, &path, device)
    }

    /// SHA-256 of the weights file, in hexadecimal: what features computed by it depend on.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn digest(&self) -> Result<String, ClipError> {
        let path = self.weights_path();
        let bytes = std::fs::read(&path).map_err(|error| ClipError::read(&path, error))?;
        Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Where the checkpoint lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn weights_path(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }
}
