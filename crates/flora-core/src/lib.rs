//! What every flora crate stands on: [derived random streams](seed), [atomic files](files)
//! and [worker threads](workers).

pub mod files;
pub mod seed;
pub mod workers;
