//! Shared foundation of the flora crates.
//!
//! - Data: named parameter [`record`]s, rows in a crash-safe [`journal`], JSON [`sealed`] by a checksum, NumPy's
//!   [`npy`] files, atomic [`files`].
//! - Computation: independent random streams from one [`seed`], [`workers`] with single-threaded maths,
//!   the [`hadamard`] transform.
//! - Text for people: safe terminal [`text`], quoted [`shell`] arguments, short [`paths`], errors that [`explain`] a
//!   mistyped setting, checks of [`settings`], and [`renamed`] ones.
//! - Resources: free [`disk`] space and peak [`memory`].

pub mod disk;
pub mod explain;
pub mod files;
pub mod hadamard;
pub mod hex;
#[cfg(feature = "images")]
pub mod images;
pub mod journal;
pub mod kinds;
pub mod memory;
pub mod npy;
pub mod paths;
pub mod record;
pub mod renamed;
pub mod sealed;
pub mod seed;
pub mod settings;
pub mod shell;
pub mod text;
pub mod workers;

pub use record::{
    Dtype, HostTensor, ParameterRecord, RecordError, TensorFile, read_metadata, transpose,
};
