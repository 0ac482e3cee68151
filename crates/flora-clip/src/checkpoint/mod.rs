//! CLIP checkpoints on disk, in the layouts of Hugging Face, OpenCLIP and OpenAI.

mod load;
mod locate;
mod names;
mod open_clip;
mod save;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use sha2::{Digest, Sha256};

use crate::{Clip, ClipConfig, ClipError, ClipText, ClipTokenizer, Preprocessor};
use locate::Found;
pub use save::{CheckpointLayout, SaveOptions};
use weights::Weights;

/// A CLIP on disk: configuration, tokenizer, preprocessing, and the weights to load.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The model's shape.
    pub config: ClipConfig,
    /// The tokenizer that the model was trained with.
    pub tokenizer: ClipTokenizer,
    /// The preprocessing of images for the vision tower.
    pub preprocessor: Preprocessor,
    path: PathBuf,
    weights: Vec<PathBuf>,
    /// The digest of the weights, once computed.
    digest: OnceLock<String>,
}

impl Checkpoint {
    /// Opens a checkpoint. Formats are detected by content, and pickles are never executed:
    ///
    /// - a folder written by `transformers.CLIPModel`: `config.json` with `model.safetensors` or `pytorch_model.bin`,
    ///   in one file or in parts with an index; `preprocessor_config.json` is optional;
    /// - a folder written by OpenCLIP: `open_clip_config.json` with `open_clip_model.safetensors` or
    ///   `open_clip_pytorch_model.bin`;
    /// - a weights file, with either configuration beside it;
    /// - a TorchScript archive published by OpenAI (`ViT-B-32.pt`), which needs no other file.
    ///
    /// The tokenizer is read from the folder's `tokenizer.json`, else from its `vocab.json` and `merges.txt`; the
    /// default is CLIP's own.
    ///
    /// # Errors
    ///
    /// A missing folder or file, or unsupported content in one of the small files. The weights are read by
    /// [`Checkpoint::load`].
    pub fn open(path: &Path) -> Result<Self, ClipError> {
        if path.is_file() {
            return Self::open_file(path);
        }
        match locate::locate(path)? {
            Found::HuggingFace { config, weights } => Self::hugging_face(path, &config, weights),
            Found::OpenClip { config, weights } => Self::open_clip(path, &config, weights),
        }
    }

    fn open_file(path: &Path) -> Result<Self, ClipError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let weights = Weights::open(&[path.to_owned()])?;
        let files = vec![path.to_owned()];
        let (theirs, ours) =
            (folder.join(locate::OPEN_CLIP_CONFIG), folder.join(locate::HUGGING_FACE_CONFIG));
        if weights.naming() == names::Naming::HuggingFace {
            Self::hugging_face(folder, &ours, files)
        } else if weights.is_open_ai_s() {
            // Complete by itself: files beside it are unrelated.
            let config = open_clip::infer(&weights, path)?;
            Ok(Self {
                tokenizer: ClipTokenizer::openai(&config.text_config)?,
                preprocessor: Preprocessor::torchvision(&config.vision_config),
                config,
                path: path.to_owned(),
                weights: files,
                digest: OnceLock::new(),
            })
        } else if theirs.is_file() {
            Self::open_clip(folder, &theirs, files)
        } else if ours.is_file() {
            Self::hugging_face(folder, &ours, files)
        } else {
            let problem = format!(
                "these weights do not say which activation they were trained with; put an {} \
                 beside them, as OpenCLIP's repositories have it",
                locate::OPEN_CLIP_CONFIG
            );
            Err(ClipError::file(path, problem))
        }
    }

    fn hugging_face(
        folder: &Path,
        config: &Path,
        weights: Vec<PathBuf>,
    ) -> Result<Self, ClipError> {
        let config = ClipConfig::from_file(config)?;
        Ok(Self {
            tokenizer: ClipTokenizer::from_folder(folder, &config.text_config)?,
            preprocessor: Preprocessor::from_folder(folder, &config.vision_config)?,
            config,
            path: folder.to_owned(),
            weights,
            digest: OnceLock::new(),
        })
    }

    fn open_clip(folder: &Path, config: &Path, weights: Vec<PathBuf>) -> Result<Self, ClipError> {
        let (config, preprocessor) = open_clip::from_file(config)?;
        Ok(Self {
            tokenizer: ClipTokenizer::from_folder(folder, &config.text_config)?,
            preprocessor,
            config,
            path: folder.to_owned(),
            weights,
            digest: OnceLock::new(),
        })
    }

    /// Loads the weights, as f32 whatever their type in the file. The model is ready for inference; none of its
    /// parameters requires gradients.
    ///
    /// # Errors
    ///
    /// A tensor that is missing, unused, malformed, not of a float type, or not finite, by name.
    pub fn load(&self, device: &Device) -> Result<Clip, ClipError> {
        let (skeleton, weights) = self.checked(device)?;
        load::load(skeleton, &weights)
    }

    /// Loads the text half and the factor on cosine similarities ([`Clip::temperature_factor`]). This is enough if
    /// image features exist already. The vision half is checked, but not read.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::load`].
    pub fn load_text(&self, device: &Device) -> Result<(ClipText, f32), ClipError> {
        let (skeleton, weights) = self.checked(device)?;
        let scale = weights.read("logit_scale", &[1])?[0];
        // By the same function as for the whole model, for bit-identical results.
        let factor = Tensor::<1>::from_floats([scale], device).exp().into_scalar::<f32>();
        let (text, _) = skeleton.split();
        Ok((load::load(text, &weights)?, factor))
    }

    fn checked(&self, device: &Device) -> Result<(Clip, Weights), ClipError> {
        let skeleton = Clip::skeleton(&self.config, device);
        let mut weights = Weights::open(&self.weights)?;
        load::check(&skeleton, &mut weights)?;
        Ok((skeleton, weights))
    }

    /// The number of parameters of the whole model, whichever part is loaded.
    pub fn num_params(&self, device: &Device) -> usize {
        Clip::skeleton(&self.config, device).num_params()
    }

    /// SHA-256 of the weights, in hexadecimal: it identifies them in caches of features. The files are read once.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn digest(&self) -> Result<String, ClipError> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest.clone());
        }
        let mut hash = Sha256::new();
        for path in &self.weights {
            flora_core::files::hash(path, &mut hash)
                .map_err(|error| ClipError::read(path, error))?;
        }
        let digest = flora_core::hex::encode(&hash.finalize());
        Ok(self.digest.get_or_init(|| digest).clone())
    }

    /// The path of the checkpoint: its folder, or its file if it consists of one.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
