//! Contrastive pretraining of a small CLIP from pairs of pictures and captions, on burn-train's
//! [`SupervisedTraining`](burn::train::SupervisedTraining) with its dashboard.
//!
//! The batch is cut into shards that are spread over threads: a small model's products are too
//! small to be split, and the contrastive loss couples the shards through their features alone
//! (see `sharded`).

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
