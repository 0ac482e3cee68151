//! Low-rank adapters (LoRA, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685)) for burn modules.
//!
//! A module with [`LoraLinear`] in place of `burn::nn::Linear` can be adapted:
//!
//! 1. it lists its layers through [`AdaptableModule`];
//! 2. [`attach`] freezes the module and adds an adapter to the layers selected by a [`LoraConfig`];
//! 3. [`adapter_record`] reads the adapters' parameters, by name, and [`load_adapter_record`] writes them;
//! 4. [`merge`] folds the adapters into the weights, [`detach`] discards them.
//!
//! [`save_peft`] writes an adapter for Hugging Face's `peft`; [`load_peft`] and [`attach_peft`] read
//! one that `peft` trained.
//!
//! The adapter is applied to activations, `y = x W + b + s (x A) B`: the dense `W + s A B` is never formed, and no
//! gradient of `W` is computed.
//!
//! # Your own module
//!
//! ```
//! use burn::module::{Initializer, Module};
//! use burn::tensor::{Device, Tensor, activation};
//! use flora_lora::{
//!     AdaptableModule, LoraConfig, LoraLinear, Scaling, Towers, adapter_record, attach,
//!     load_adapter_record,
//! };
//!
//! #[derive(Module, Debug)]
//! struct Mlp {
//!     up: LoraLinear,
//!     down: LoraLinear,
//! }
//!
//! impl Mlp {
//!     fn new(device: &Device) -> Self {
//!         let init = Initializer::KaimingUniform { gain: 1.0, fan_out_only: false };
//!         Self {
//!             up: LoraLinear::new(8, 32, true, &init, device),
//!             down: LoraLinear::new(32, 2, true, &init, device),
//!         }
//!     }
//!
//!     fn forward(&self, x: Tensor<2>) -> Tensor<2> {
//!         self.down.forward(activation::relu(self.up.forward(x)))
//!     }
//! }
//!
//! impl AdaptableModule for Mlp {
//!     // The names are those of the fields, joined by dots where modules hold modules.
//!     fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
//!         vec![("up".into(), &mut self.up), ("down".into(), &mut self.down)]
//!     }
//! }
//!
//! let device = Device::flex(); // `.autodiff()` to train
//! let base = Mlp::new(&device);
//! let config = LoraConfig {
//!     r: 2,
//!     lora_alpha: 4.0,
//!     scaling: Scaling::Standard,
//!     target_modules: ["up", "down"].into(),
//!     towers: Towers::Both,
//!     ..LoraConfig::default()
//! };
//! let adapted = attach(base.clone(), &config, 42)?;
//! let y = adapted.forward(Tensor::ones([3, 8], &device));
//! assert_eq!(y.dims(), [3, 2]);
//!
//! // The adapters alone, small enough to send: named tensors, safetensors bytes.
//! let record = adapter_record(&adapted)?;
//! assert_eq!(record.names().next(), Some("up.lora_A.weight"));
//! assert_eq!(record.num_parameters(), 2 * (8 + 32) + 2 * (32 + 2));
//!
//! // Into another copy of the module.
//! let other = load_adapter_record(attach(base, &config, 7)?, &record)?;
//! assert_eq!(adapter_record(&other)?, record);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attach;
mod check;
mod config;
mod correction;
mod dropout;
mod error;
mod layer;
mod layers;
mod modules;
pub mod named;
mod parameters;
mod pattern;
mod peft;
mod targets;
mod text;

pub use attach::{AdaptableModule, attach, detach, merge, reseed_dropout};
pub use config::{Init, LoraConfig, Scaling, Towers};
pub use correction::{correct, standalone, with_ranks_of};
pub use error::LoraError;
pub use layer::{LoraAdapter, LoraLinear};
pub use modules::TargetModules;
pub use parameters::{adapter_entry, adapter_record, load_adapter_record, num_adapter_parameters};
pub use peft::{PeftAdapter, attach_peft, load_peft, save_peft};
pub use targets::TargetMatcher;
