//! Server strategies of federated learning: rules that compute the next global parameters from a round's replies.
//!
//! All rules are host arithmetic on named records, in f64, in the order of the client ids: results depend neither on
//! threads nor on the order of arrival. This crate depends neither on burn nor on CLIP.

mod clipping;
mod config;
mod fednova;
mod fedprox;
pub mod lora;
mod optimizer;
pub mod robust;
mod scaffold;
mod values;

pub use clipping::{NormClipping, NormClippingConfig};
pub use config::{NoSettings, StrategyConfig, StrategyFacts, StrategyKind};
pub use fednova::{FedNova, FedNovaConfig};
pub use fedprox::{FedProx, FedProxConfig};
pub use optimizer::{FedAdagrad, FedAdam, FedAvgM, FedYogi, ServerOptimizer, Stepped};
pub use scaffold::{
    CONTROL, COUNTED, Scaffold, ScaffoldConfig, TASK, answered_control, client_control,
};
