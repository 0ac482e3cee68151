//! Server strategies of federated learning: how the answers of a round become the next global parameters.
//!
//! Host arithmetic on named records, in f64, in the order of the client ids: results do not depend on threads
//! or on the order of arrival. Nothing here knows burn or CLIP.

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
