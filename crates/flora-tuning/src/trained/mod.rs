//! What a run trained: in files that other tools read, and in use again.

mod load;
mod model;
mod predict;
mod save;

pub use load::{LoadedParameters, load_trained};
pub use model::{TrainedClassifier, TrainedModel};
pub use predict::{ClientModels, ClientPredictions};
pub use save::{base_digest, save_trained};

/// Where trained parameters lie in a folder: an adapter in PEFT's layout, a checkpoint in Hugging Face's, or the
/// parameters by their names.
const ADAPTER: &str = "adapter";
const MODEL: &str = "model";
const PARAMETERS: &str = "trained.safetensors";

/// Metadata of the last one: its [`Provenance`](flora_inference::Provenance), and the SHA-256 of its values.
const PROVENANCE: &str = "flora";
const SHA256: &str = "sha256";

/// SHA-256 of a record's names and values.
fn digest(record: &flora_core::ParameterRecord) -> String {
    use sha2::{Digest, Sha256};
    flora_core::hex::encode(&Sha256::digest(record.to_safetensors()))
}
