//! Use of a trained CLIP: [`embed`] texts and images into files, classify images, score a model on a data set, and
//! export a model with its adapters merged.
//!
//! A [`Model`] is a checkpoint on a device, optionally with an adapter in PEFT's format; a [`Classifier`] computes
//! class scores from its image features. [`Provenance`] records the origin and the training data of an adapter.

pub mod embed;

mod activations;
mod chosen;
mod classifier;
mod classify;
mod encode;
mod encoding;
mod error;
mod export;
mod features;
mod images;
mod labels;
mod model;
mod provenance;
mod retrieve;
mod score;
mod unusable;

pub use activations::{BelowCut, activations, check_room_for_activations};
pub use chosen::{Chosen, Wishes, choose};
pub use classifier::Classifier;
pub use classify::{Prediction, classify};
pub use encoding::{Notice, pixels};
pub use error::InferenceError;
pub use export::export_merged;
pub use features::{FrozenTower, checkpoint_features, checkpoint_rows, image_features, image_rows};
pub use images::{find_images, image_files};
pub use labels::{read_lines, read_texts, sentences};
pub use model::{Changes, Model, adapter_folder};
pub use provenance::{Provenance, TrainedOn, settings_digest};
pub use retrieve::{Ranks, retrieve};
pub use score::{Scores, score};
pub use unusable::unusable_images;
