use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Clip, Embedder, Precision, Readout};
use flora_core::hex;
use flora_lora::{LoraError, PeftAdapter, attach_peft, load_peft};
use sha2::{Digest, Sha256};

use crate::{InferenceError, Provenance, settings_digest};

/// A checkpoint on a device, optionally with an adapter.
#[derive(Debug, Clone)]
pub struct Model {
    /// Configuration, tokenizer and preprocessing.
    pub checkpoint: Checkpoint,
    /// The weights, ready for use.
    pub embedder: Embedder,
    /// The adapter.
    pub adapter: Option<PeftAdapter>,
    /// The provenance of the adapter or, without one, of the checkpoint, if flora trained it.
    pub provenance: Option<Provenance>,
    /// The inputs of its [classifier](crate::Classifier) besides image features: see [`Model::image_rows`].
    pub readout: Option<Readout>,
    changes: Option<Changes>,
    precision: Precision,
}

/// How a model's weights differ from those of its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The identity of the changes: SHA-256 of the replaced weights, and how they are used.
    pub key: String,
    /// Whether image features differ from the checkpoint's.
    pub vision: bool,
}

impl Model {
    /// Opens a checkpoint (see [`Checkpoint::open`]) and attaches the adapter in the folder `adapter`, which is in
    /// PEFT's format.
    ///
    /// # Errors
    ///
    /// Files that cannot be used, an adapter that does not fit the model, or one whose files were changed since flora
    /// wrote them, by name.
    pub fn open(
        path: &Path,
        adapter: Option<&Path>,
        device: &Device,
    ) -> Result<Self, InferenceError> {
        // The checkpoint may be a fully trained model of flora.
        let trained = adapter.unwrap_or(path);
        let provenance = if trained.is_dir() { Provenance::load(trained)? } else { None };
        let loaded = adapter.map(|folder| Ok::<_, LoraError>((folder, load_peft(folder)?)));
        let loaded = loaded.transpose()?;
        let checkpoint = Checkpoint::open(path)?;
        let mut clip = checkpoint.load(device)?;
        let Some((folder, adapter)) = loaded else {
            return Ok(Self { provenance, ..Self::new(checkpoint, clip) });
        };
        // What was read well, and does not fit this model.
        let misfit = |error| match error {
            LoraError::Layer { .. } | LoraError::Tensor { .. } | LoraError::Record(_) => {
                InferenceError::file(&folder.join("adapter_model.safetensors"), error.to_string())
            }
            LoraError::AdapterConfig { path, field, problem } => {
                InferenceError::file(&folder.join(path), format!("{field}: {problem}"))
            }
            other => other.into(),
        };
        let adapter = adapter.fitted(&mut clip).map_err(misfit)?;
        let clip = attach_peft(clip, &adapter).map_err(misfit)?;
        Ok(Self { adapter: Some(adapter), provenance, ..Self::new(checkpoint, clip) })
    }

    /// Wraps a model that was loaded from `checkpoint`.
    pub fn new(checkpoint: Checkpoint, clip: Clip) -> Self {
        let embedder = Embedder::new(&checkpoint, clip);
        Self {
            embedder,
            checkpoint,
            adapter: None,
            provenance: None,
            readout: None,
            changes: None,
            precision: Precision::F32,
        }
    }

    /// The same model with products of the vision tower in `precision` below its adapters; see [`Clip::in_precision`].
    ///
    /// # Errors
    ///
    /// A device that does not support it.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self, InferenceError> {
        self.embedder.clip = self.embedder.clip.in_precision(precision)?;
        self.precision = precision;
        Ok(self)
    }

    /// The precision of the vision tower's products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same model with some weights different from the checkpoint's.
    #[must_use]
    pub fn changed(self, changes: Changes) -> Self {
        Self { changes: Some(changes), ..self }
    }

    /// A message if the adapter may not belong to this checkpoint: flora trained it on other weights.
    ///
    /// # Errors
    ///
    /// Weights that can no longer be read.
    pub fn other_base(&self) -> Result<Option<String>, InferenceError> {
        let (Some(provenance), Some(_)) = (&self.provenance, &self.adapter) else {
            return Ok(None);
        };
        let base = &provenance.base_model_name_or_path;
        let path = self.checkpoint.path().display();
        let here = self.checkpoint.digest()?;
        let there = &provenance.base_sha256;
        if here != *there {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            return Ok(Some(format!(
                "the adapter was trained on {base} (SHA-256 {}…), but the weights of {path} differ (SHA-256 {}…): \
                 the results will not be those of the trained model",
                short(there),
                short(&here)
            )));
        }
        let same = settings_digest(&self.checkpoint) == provenance.base_settings_sha256;
        Ok((!same).then(|| {
            format!(
                "the adapter was trained on {base}, and {path} has the same weights with another configuration, \
                 preprocessing or tokenizer: the results will not be those \
                 of the trained model"
            )
        }))
    }

    /// The inputs of a [classifier](crate::Classifier) of this model for images, `[batch, 3, size, size]`: their
    /// features, not normalised, or with a [`readout`](Self::readout) the rows of [`Clip::image_rows`].
    pub fn image_rows(&self, images: Tensor<4>) -> Tensor<2> {
        match &self.readout {
            Some(readout) => self.clip().image_rows(images, readout),
            None => self.clip().image_features(images),
        }
    }

    /// The weights, with the adapter attached.
    pub fn clip(&self) -> &Clip {
        &self.embedder.clip
    }

    /// Whether the model's image features differ from its checkpoint's.
    pub fn adapts_vision(&self) -> bool {
        let vision = |name: &str| name.starts_with("vision_model.") || name.starts_with("visual_");
        let adapted = |adapter: &PeftAdapter| {
            adapter.record.names().chain(adapter.extras.names()).any(vision)
        };
        self.adapter.as_ref().is_some_and(adapted)
            || self.changes.as_ref().is_some_and(|changes| changes.vision)
    }

    /// SHA-256 of everything that determines its features: weights, configuration, tokenizer, preprocessing, adapter,
    /// changes and precision.
    ///
    /// # Errors
    ///
    /// Weights that can no longer be read.
    pub fn fingerprint(&self) -> Result<String, InferenceError> {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.checkpoint.digest()?.as_bytes());
        part(settings_digest(&self.checkpoint).as_bytes());
        if let Some(adapter) = &self.adapter {
            part(&serde_json::to_vec(&adapter.config).expect("plain data"));
            part(&adapter.record.to_safetensors());
            if !adapter.extras.is_empty() {
                part(&adapter.extras.to_safetensors());
            }
        }
        if let Some(changes) = &self.changes {
            part(changes.key.as_bytes());
        }
        if !self.precision.is_f32() {
            part(self.precision.as_str().as_bytes());
        }
        Ok(hex::encode(&hash.finalize()))
    }
}

/// The folder of an adapter: `path`, or `adapter/` in it if `path` is a run folder, since users may name the run
/// instead of its adapter.
pub fn adapter_folder(path: &Path) -> PathBuf {
    let inside = path.join("adapter");
    if !path.join("adapter_config.json").exists() && inside.is_dir() {
        return inside;
    }
    path.to_owned()
}
