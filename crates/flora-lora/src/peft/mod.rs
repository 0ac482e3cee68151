//! Adapters in the files of Hugging Face's `peft`: a folder with `adapter_config.json` and
//! `adapter_model.safetensors`.

mod attach;
mod config;
mod extras;
mod fields;
mod files;
mod load;
mod numbered;
mod refusal;
mod save;
mod tensors;
mod tower;

pub use attach::attach_peft;
pub use load::{PeftAdapter, load_peft};
pub use save::save_peft;
