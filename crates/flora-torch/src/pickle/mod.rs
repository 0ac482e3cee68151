//! Pickles as data: a stack machine without functions, and the graph of values that it leaves.

mod cursor;
mod graph;
mod machine;
mod opcodes;

pub(crate) use graph::{Graph, Id, Object, Value};
pub(crate) use machine::{Pickle, parse};

/// No pickle of more bytes is read. The largest state dicts have some hundred kilobytes.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Where a pickle is wrong, and how.
#[derive(Debug)]
pub(crate) struct PickleError {
    pub(crate) offset: usize,
    pub(crate) problem: String,
}
