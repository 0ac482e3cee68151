//! flora on Flower's SuperLink.

pub mod codec;
pub mod key;
pub mod names;
pub mod objects;
mod pairs;
pub mod wire;
