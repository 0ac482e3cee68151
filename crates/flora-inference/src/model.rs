use std::path::Path;

use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, Embedder};
use flora_core::hex;
use flora_lora::{LoraError, PeftAdapter, attach_peft, load_peft};
use sha2::{Digest, Sha256};

use crate::InferenceError;

/// A checkpoint on a device, with an adapter if one was named.
#[derive(Debug, Clone)]
pub struct Model {
    /// Configuration, tokenizer and preprocessing.
    pub checkpoint: Checkpoint,
    /// The weights, ready for use.
    pub embedder: Embedder,
    /// The adapter.
    pub adapter: Option<PeftAdapter>,
}

impl Model {
    /// Open a checkpoint (see [`Checkpoint::open`]) and attach the adapter in the folder `adapter`,
    /// which is in PEFT's format.
    ///
    /// # Errors
    ///
    /// Files that cannot be used, and an adapter that does not fit the model, by name.
    pub fn open(
        path: &Path,
        adapter: Option<&Path>,
        device: &Device,
    ) -> Result<Self, InferenceError> {
        let loaded = adapter.map(|folder| Ok::<_, LoraError>((folder, load_peft(folder)?)));
        let loaded = loaded.transpose()?;
        let checkpoint = Checkpoint::open(path)?;
        let mut clip = checkpoint.load(device)?;
        let Some((folder, adapter)) = loaded else { return Ok(Self::new(checkpoint, clip)) };
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
        Ok(Self { adapter: Some(adapter), ..Self::new(checkpoint, clip) })
    }

    /// A model that was loaded from `checkpoint`.
    pub fn new(checkpoint: Checkpoint, clip: Clip) -> Self {
        Self { embedder: Embedder::new(&checkpoint, clip), checkpoint, adapter: None }
    }

    /// The weights, with the adapter beside them.
    pub fn clip(&self) -> &Clip {
        &self.embedder.clip
    }

    /// Whether the adapter changes what the model makes of images.
    pub fn adapts_vision(&self) -> bool {
        let vision = |name: &str| name.starts_with("vision_model.") || name.starts_with("visual_");
        self.adapter
            .as_ref()
            .is_some_and(|adapter| adapter.record.names().chain(adapter.extras.names()).any(vision))
    }

    /// SHA-256 of everything that its features depend on: weights, configuration, tokenizer,
    /// preprocessing and adapter.
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
        part(&serde_json::to_vec(&self.checkpoint.config).expect("plain data"));
        part(&serde_json::to_vec(&self.checkpoint.preprocessor).expect("plain data"));
        part(&self.checkpoint.tokenizer.to_bytes());
        if let Some(adapter) = &self.adapter {
            part(&serde_json::to_vec(&adapter.config).expect("plain data"));
            part(&adapter.record.to_safetensors());
            if !adapter.extras.is_empty() {
                part(&adapter.extras.to_safetensors());
            }
        }
        Ok(hex::encode(&hash.finalize()))
    }
}
