//! Low-rank adapters (LoRA, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685)) for burn modules.
//!
//! A module that holds [`LoraLinear`] where it would hold `burn::nn::Linear` can be adapted:
//!
//! 1. it lists its layers through [`AdaptableModule`];
//! 2. [`attach`] freezes the module and gives the layers that a [`LoraConfig`] names an adapter;
//! 3. [`adapter_record`] takes the adapters out, by name, and [`load_adapter_record`] puts them back;
//! 4. [`merge`] folds them into the weights, [`detach`] throws them away.
//!
//! The product runs on the activation path, `y = x W + b + s (x A) B`: the dense `W + s A B` is
//! never formed, and no gradient of `W` is computed.

mod attach;
mod config;
mod dropout;
mod error;
mod layer;
mod parameters;
mod peft;

pub use attach::{AdaptableModule, attach, detach, merge, reseed_dropout};
pub use config::{Init, LoraConfig, Scaling, Towers};
pub use error::LoraError;
pub use layer::{LoraAdapter, LoraLinear};
pub use parameters::{adapter_record, load_adapter_record, num_adapter_parameters};
pub use peft::save_peft;
