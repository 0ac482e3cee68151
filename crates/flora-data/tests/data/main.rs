//! Tests of the crate's guarantees, on small data sets in temporary folders.

mod activations;
mod base_to_novel;
mod features;
mod filling;
mod groups;
mod idx;
mod image_folder;
mod layouts;
mod listed;
mod partition;
mod partition_errors;
mod partition_file;
mod partition_properties;
mod partition_skew;
mod published;
mod sets;
mod sites;
mod splits;
mod stratified;
mod texts;
mod validation;
mod views;
