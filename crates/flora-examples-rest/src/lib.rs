//! The second half of the archive of `flora-examples`: crates.io takes 10 MiB at most for a crate.

/// The bytes that follow those in `flora-examples`.
pub const ARCHIVE: &[u8] = include_bytes!(env!("FLORA_EXAMPLES"));
