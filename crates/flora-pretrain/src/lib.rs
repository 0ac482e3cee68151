//! Contrastive pretraining of a small CLIP from pairs of pictures and captions, on burn-train's
//! [`SupervisedTraining`](burn::train::SupervisedTraining) with its dashboard.
//!
//! The batch is split into shards that are distributed over threads: a small model's products are too small to be
//! split, and the contrastive loss couples the shards only through their features (see `sharded`).

mod augment;
mod batches;
mod center;
mod config;
mod error;
mod model;
mod pairs;
mod precision;
mod sampling;
mod sharded;
mod train;

pub use augment::Augmentation;
pub use config::PretrainConfig;
pub use error::PretrainError;
pub use pairs::{Pair, PairSet};
pub use precision::Precision;
pub use train::{PretrainSummary, pretrain};
