//! Pickles as data: a stack machine without functions, and the graph of values that it builds.

mod cursor;
mod graph;
mod machine;
mod opcodes;

pub(crate) use graph::{Graph, Id, Object, Value};
pub(crate) use machine::{Pickle, parse};

/// Longer pickles are refused. The largest state dicts have some hundred kilobytes.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// The position and the problem in a pickle.
#[derive(Debug)]
pub(crate) struct PickleError {
    pub(crate) offset: usize,
    pub(crate) problem: String,
}
