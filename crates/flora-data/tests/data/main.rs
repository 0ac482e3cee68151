//! Everything the crate promises, on small data sets made in temporary folders.

mod features;
mod idx;
mod image_folder;
mod partition;
mod partition_errors;
mod published;
mod sets;
mod splits;
mod texts;
