//! What a run trained: in files that other tools read, and in use again.

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

/// Where trained parameters lie in a folder: an adapter in PEFT's layout, a checkpoint in Hugging Face's, or the
/// parameters by their names.
const ADAPTER: &str = "adapter";
const MODEL: &str = "model";
const PARAMETERS: &str = "trained.safetensors";

/// Metadata of the last one: its [`Provenance`](flora_inference::Provenance), and the SHA-256 of its values.
const PROVENANCE: &str = "flora";
const SHA256: &str = "sha256";

/// Metadata of those of a closed-form method: how they are solved, and which adapter is under the classifier.
const CLOSED_FORM: &str = "closed_form";

impl Experiment {
    /// The same, with what lies below or beside what was trained from the copies that [`save_trained`] made in the run's
    /// `folder`, where it made some: the adapter under a classifier, and the classifier beside an adapter.
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
