//! flora on Flower's SuperLink.

pub mod wire;
