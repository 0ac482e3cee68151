//! Trained parameters of a run: saved in files for other tools, loaded and used.

use std::path::Path;

use crate::Experiment;

mod head;
mod load;
mod model;
mod predict;
mod save;
mod sums;

pub use load::{LoadedParameters, load_trained};
pub use model::{TrainedClassifier, TrainedModel};
pub use predict::{ClientModels, ClientPredictions};
pub use save::{base_digest, save_trained};
pub(crate) use sums::{LoadedSums, adapter_digest};

/// Names of trained parameters in a folder: an adapter in PEFT's format, a checkpoint in Hugging Face's, or parameters
/// by name.
const ADAPTER: &str = "adapter";
const MODEL: &str = "model";
const PARAMETERS: &str = "trained.safetensors";

/// Metadata key of the last one: its [`Provenance`](flora_inference::Provenance), and the SHA-256 of its values.
const PROVENANCE: &str = "flora";
const SHA256: &str = "sha256";

/// Metadata key for a closed-form method: how the classifier is solved, and the adapter under it.
const CLOSED_FORM: &str = "closed_form";

impl Experiment {
    /// The experiment with paths to the copies that [`save_trained`] made in the run's `folder`, if any: of the adapter
    /// under a classifier, and of the classifier beside an adapter.
    #[must_use]
    pub fn with_copies_in(mut self, folder: &Path) -> Self {
        let method = &mut self.method;
        let (adapter, sums) = (folder.join(ADAPTER), folder.join(PARAMETERS));
        if method.name.is_closed_form() && method.init_adapter.is_some() && adapter.is_dir() {
            method.init_adapter = Some(adapter);
        }
        if method.head.is_some() && sums.is_file() {
            method.head = Some(sums);
        }
        self
    }
}

/// SHA-256 of a record's names and values.
pub(crate) fn digest(record: &flora_core::ParameterRecord) -> String {
    use sha2::{Digest, Sha256};
    flora_core::hex::encode(&Sha256::digest(record.to_safetensors()))
}
