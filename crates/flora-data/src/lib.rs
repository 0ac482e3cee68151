//! Data sets, prompts, partitions and the cache of frozen features.
//!
//! - [`Dataset`] reads labelled images that one TOML file (or a plain folder) describes, and splits them
//!   into training and test images ([`Protocol`]).
//! - [`discover()`] tells how somebody's folder is to be read, and writes its description.
//! - [`PartitionConfig`] deals a data set out to clients; the [`Partition`] it makes is saved with the run.
//! - [`FeatureCache`] keeps what a frozen image tower computed, keyed by everything that determines it.
//!
//! Nothing here knows of models, tensors or rounds.

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
