//! Adapters in the files of Hugging Face's `peft`: a folder with `adapter_config.json` and
//! `adapter_model.safetensors`.

mod attach;
mod config;
mod fields;
mod files;
mod load;
mod save;
mod tensors;

pub use attach::attach_peft;
pub use load::{PeftAdapter, load_peft};
pub use save::save_peft;

const CONFIG_FILE: &str = "adapter_config.json";
const TENSOR_FILE: &str = "adapter_model.safetensors";
/// What `peft` writes where it is told not to use safetensors.
const PICKLE_FILE: &str = "adapter_model.bin";

/// In front of every name in PEFT's file: its wrapper's fields.
const PREFIX: &str = "base_model.model.";
