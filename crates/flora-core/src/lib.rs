//! What every flora crate stands on: named parameter [`record`]s, derived random streams
//! ([`seed`]), atomic [`files`], JSON [`sealed`] by a checksum, [`journal`]s of rows that survive a killed process,
//! [`workers`] whose maths is single-threaded, [`text`] that terminals may show, paths as a [`shell`] takes them, errors that
//! [`explain`] themselves, what [`paths`] are called where there is little room, how much room a [`disk`] has, and how
//! much [`memory`] it took.

pub mod disk;
pub mod explain;
pub mod files;
pub mod hex;
#[cfg(feature = "images")]
pub mod images;
pub mod journal;
pub mod kinds;
pub mod memory;
pub mod paths;
pub mod record;
pub mod sealed;
pub mod seed;
pub mod shell;
pub mod text;
pub mod workers;

pub use record::{
    Dtype, HostTensor, ParameterRecord, RecordError, TensorFile, read_metadata, transpose,
};
