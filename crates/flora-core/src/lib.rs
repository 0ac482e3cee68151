//! What every flora crate stands on: named parameter [`record`]s, derived random streams
//! ([`seed`]), atomic [`files`] and [`workers`] whose maths is single-threaded.

pub mod files;
pub mod hex;
#[cfg(feature = "images")]
pub mod images;
pub mod record;
pub mod seed;
pub mod workers;

pub use record::{Dtype, HostTensor, ParameterRecord, RecordError, TensorFile, read_metadata};
