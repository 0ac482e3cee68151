//! SecAgg+ as in Flower 1.42: a node's side of `flwr.server.workflow.SecAggPlusWorkflow`.
//!
//! This is for compatibility with servers that use that workflow; flora's own secure aggregation is the crate
//! `flora-secagg`. **Flower's protocol gives limited secrecy**, and a node alone cannot change that:
//!
//! - Masks come from MT19937, which is not a cryptographic generator, with a seed of 32 bits. The shared seed of two
//!   nodes is folded from base64 text, in which the highest bit of every byte is 0, so that **28 bits** remain: a
//!   server can try all of them in minutes.
//! - Nodes do not know each other's keys beforehand. They accept the keys that the server sends, which could be its
//!   own.
//!
//! It therefore hides the parameters of a node from other nodes and from logs, but not from a malicious server. The sum
//! is one of parameters, weighted by the number of examples, not of updates.
//!
//! # Use
//!
//! A round has four messages of the type `train`, recognised by [`is_for`]. [`SecAggNode`] answers them:
//!
//! | stage | node |
//! |---|---|
//! | `setup` | generates two key pairs |
//! | `share_keys` | sends each neighbour encrypted shares of its secrets; the server passes them on |
//! | `collect_masked_vectors` | trains, and sends its masked parameters |
//! | `unmask` | gives the server the shares that remove the masks from the sum |
//!
//! [`StateFolder`] stores a node's state between these messages.
//!
//! This client refuses some inputs that Flower's own client accepts silently: parameters beyond the clipping range,
//! more examples than `max_weight`, a sum that can overflow, and lists of nodes that would reveal one node's
//! parameters. Otherwise the arithmetic is Flower's, in double precision. Masked arrays are sent as `uint32`, half the
//! bytes of Flower's `int64`.
//!
//! Flower's workflow tolerates nodes that are lost while they train. A node that is lost before it has shared its keys
//! ends the round on the server.

mod agree;
mod collect;
mod error;
mod fernet;
#[cfg(test)]
mod fixture;
mod held;
mod legacy;
mod mask;
mod node;
mod quantize;
mod read;
mod saved;
mod settings;
mod shamir;
mod share;
mod stage;
mod store;
mod unmask;

use crate::objects::{Record, RecordDict};

pub use self::error::SecAggError;
pub use self::node::{SecAggNode, Step};
pub use self::store::StateFolder;

/// The config record that marks a message as part of SecAgg+.
pub const CONFIGS: &str = "secaggplus_configs";

/// Fills bytes with random numbers: [`crate::random`], or a seeded generator in tests.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), getrandom::Error> + 'a;

/// Whether a message is part of SecAgg+, and so meant for a [`SecAggNode`].
pub fn is_for(records: &RecordDict) -> bool {
    matches!(records.get(CONFIGS), Some(Record::Config(_)))
}
