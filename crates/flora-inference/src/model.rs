use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Clip, Embedder, Precision, Readout};
use flora_core::hex;
use flora_lora::{LoraError, PeftAdapter, attach_peft, load_peft};
use sha2::{Digest, Sha256};

use crate::{InferenceError, Provenance, settings_digest};

/// A checkpoint on a device, with an adapter if one was named.
#[derive(Debug, Clone)]
pub struct Model {
    /// Configuration, tokenizer and preprocessing.
    pub checkpoint: Checkpoint,
    /// The weights, ready for use.
    pub embedder: Embedder,
    /// The adapter.
    pub adapter: Option<PeftAdapter>,
    /// What the adapter, or without one the checkpoint, was trained from and for, where flora trained it.
    pub provenance: Option<Provenance>,
    /// What its [classifier](crate::Classifier) gets of the vision tower besides image features: see
    /// [`Model::image_rows`].
    pub readout: Option<Readout>,
    changes: Option<Changes>,
    precision: Precision,
}

/// In what a model's weights are not those of its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What tells it from others: SHA-256 of what was put in their place, and how that is used.
    pub key: String,
    /// Whether image features are others than the checkpoint's.
    pub vision: bool,
}

impl Model {
    /// Open a checkpoint (see [`Checkpoint::open`]) and attach the adapter in the folder `adapter`,
    /// which is in PEFT's format.
    ///
    /// # Errors
    ///
    /// Files that cannot be used, an adapter that does not fit the model, and one that is not as flora wrote it, by
    /// name.
    pub fn open(
        path: &Path,
        adapter: Option<&Path>,
        device: &Device,
    ) -> Result<Self, InferenceError> {
        // A checkpoint may be one that flora trained whole.
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

    /// A model that was loaded from `checkpoint`.
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

    /// The same, whose vision tower multiplies in `precision` below its adapters; see [`Clip::in_precision`].
    ///
    /// # Errors
    ///
    /// A device that has not got it.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self, InferenceError> {
        self.embedder.clip = self.embedder.clip.in_precision(precision)?;
        self.precision = precision;
        Ok(self)
    }

    /// In what its vision tower multiplies.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same, of whose weights some are not the checkpoint's.
    #[must_use]
    pub fn changed(self, changes: Changes) -> Self {
        Self { changes: Some(changes), ..self }
    }

    /// Why the adapter may not belong to this checkpoint, as a message: flora trained it on other weights.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read any more.
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
                "the adapter was trained on {base} (SHA-256 {}…), and these are the weights of {path} (SHA-256 {}…): what \
                 comes out is not what was trained",
                short(there),
                short(&here)
            )));
        }
        let same = settings_digest(&self.checkpoint) == provenance.base_settings_sha256;
        Ok((!same).then(|| {
            format!(
                "the adapter was trained on {base}, and {path} has the same weights with another configuration, \
                 preprocessing or tokenizer: what comes out is not what was trained"
            )
        }))
    }

    /// What a [classifier](crate::Classifier) of this model gets of images, `[batch, 3, size, size]`: their features of any
    /// length, or with a [`readout`](Self::readout) what [`Clip::image_rows`] has.
    pub fn image_rows(&self, images: Tensor<4>) -> Tensor<2> {
        match &self.readout {
            Some(readout) => self.clip().image_rows(images, readout),
            None => self.clip().image_features(images),
        }
    }

    /// The weights, with the adapter beside them.
    pub fn clip(&self) -> &Clip {
        &self.embedder.clip
    }

    /// Whether the model makes something else of images than its checkpoint does.
    pub fn adapts_vision(&self) -> bool {
        let vision = |name: &str| name.starts_with("vision_model.") || name.starts_with("visual_");
        let adapted = |adapter: &PeftAdapter| {
            adapter.record.names().chain(adapter.extras.names()).any(vision)
        };
        self.adapter.as_ref().is_some_and(adapted)
            || self.changes.as_ref().is_some_and(|changes| changes.vision)
    }

    /// SHA-256 of everything that its features depend on: weights, configuration, tokenizer,
    /// preprocessing, adapter, changes and precision.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read any more.
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

/// The folder of an adapter: `path`, or `adapter/` in it where `path` is a run's folder. People name the run, and mean
/// its adapter.
pub fn adapter_folder(path: &Path) -> PathBuf {
    let inside = path.join("adapter");
    if !path.join("adapter_config.json").exists() && inside.is_dir() {
        return inside;
    }
    path.to_owned()
}
