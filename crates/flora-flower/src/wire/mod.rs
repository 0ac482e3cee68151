//! The messages of Flower's protocol that flora uses: field for field those of flwr 1.40 to 1.42.
//!
//! Unlisted fields are ignored on receipt.

pub mod control;
pub mod fleet;
pub mod message;
pub mod records;
pub mod runtime;
