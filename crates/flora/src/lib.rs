//! Federated fine-tuning of CLIP with LoRA, in pure Rust on burn.
//!
//! This crate re-exports flora's parts under one name and chooses the backends: enable `flex`
//! (default), `vulkan`, `wgpu`, `metal`, `cuda` or `ndarray`, and ask [`device::parse`] for one.

pub mod device;

pub use burn::tensor::Device;
pub use flora_clip as clip;
pub use flora_core as core;
pub use flora_data as data;
pub use flora_federation as federation;
pub use flora_lora as lora;
pub use flora_pretrain as pretrain;
pub use flora_report as report;
pub use flora_tuning as tuning;
