//! The messages of Flower's protocol, as far as flora speaks it: field for field those of flwr 1.40 to 1.42.
//!
//! Fields that are not listed are ignored when they come.

pub mod control;
pub mod fleet;
pub mod message;
pub mod records;
pub mod runtime;
