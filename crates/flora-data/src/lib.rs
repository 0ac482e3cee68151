//! Data sets, prompts, partitions and the cache of frozen features.
//!
//! - [`Dataset`] reads labelled images described by a TOML file (or a plain folder), and splits them into training and
//!   test images ([`Protocol`]).
//! - [`discover()`] detects the layout of a folder of images, and writes its description.
//! - [`PartitionConfig`] partitions a data set across clients; the resulting [`Partition`] is saved with the run.
//! - [`FeatureCache`] stores the results of a frozen image tower, keyed by everything that determines them.
//!
//! This crate does not depend on models, tensors or rounds.

mod activations;
mod apportion;
mod csv_lines;
mod dataset;
mod discover;
mod error;
mod feature_cache;
mod features;
mod files;
mod filling;
mod partition;
mod rounding;

pub use activations::{ActivationFile, ActivationFilling, BegunActivations};
pub use dataset::{
    Dataset, Inspection, Limit, Part, Protocol, Split, Template, Texts, ValidationShare, View,
    inspect, read_image,
};
pub use discover::{Counts, DiscoverOptions, Discovery, FoundClass, FoundSite, discover};
pub use error::Error;
pub use feature_cache::{FeatureCache, FeatureKey, Lookup};
pub use features::{FeatureFile, FeatureRows, Features};
pub use filling::{Begun, Filling};
pub use partition::{
    ClientShard, DescribedPartition, NOVEL, Participants, Partition, PartitionConfig, Remainder,
};
