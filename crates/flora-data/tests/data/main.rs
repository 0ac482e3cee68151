//! Everything the crate promises, on small data sets made in temporary folders.

mod features;
mod idx;
mod image_folder;
mod layouts;
mod listed;
mod partition;
mod partition_errors;
mod sets;
mod splits;
mod texts;
