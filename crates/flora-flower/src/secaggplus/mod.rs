//! SecAgg+ as Flower 1.42 has it: a node's side of `flwr.server.workflow.SecAggPlusWorkflow`.
//!
//! This is for compatibility with servers that use that workflow; flora's own secure aggregation is the crate
//! `flora-secagg`. **What Flower's protocol keeps secret is limited**, and no node can change that alone:
//!
//! - Masks come from MT19937, which is no cryptographic generator, with a seed of 32 bits. The seed that two nodes have
//!   in common is folded from base64 text, in which the highest bit of every byte is 0, so that **28 bits** are left:
//!   a server tries them all in minutes.
//! - Nodes do not know each other's keys beforehand. They take those that the server sends, which could be its own.
//!
//! It therefore hides the parameters of a node from other nodes and from logs, not from a server that means to see
//! them. What is summed is the parameters themselves, weighted by the number of examples, not updates.
//!
//! # Use
//!
//! A round has four messages of the type `train`, told apart from others by [`is_for`]. [`SecAggNode`] answers them:
//!
//! | stage | node |
//! |---|---|
//! | `setup` | makes two pairs of keys |
//! | `share_keys` | sends each neighbour shares of its secrets, encrypted; the server passes them on |
//! | `collect_masked_vectors` | trains, and sends its parameters under masks |
//! | `unmask` | gives the server the shares by which masks are taken off the sum |
//!
//! [`StateFolder`] keeps a node's state between these messages.
//!
//! Where Flower's own client goes on without a word, this one refuses: parameters beyond the clipping range, more
//! examples than `max_weight`, a sum that can overflow, lists of nodes that would reveal one node's parameters. The
//! arithmetic is otherwise Flower's, in double precision. Masked arrays are sent as `uint32`, half the bytes of
//! Flower's `int64`.
//!
//! Flower's workflow survives nodes that are lost while they train. One that is lost before it has shared its keys ends
//! the round on the server.

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

/// The config record by which a message belongs to SecAgg+.
pub const CONFIGS: &str = "secaggplus_configs";

/// Fills bytes with what nobody can guess: [`crate::random`], or a seeded generator in tests.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), getrandom::Error> + 'a;

/// Whether a message belongs to SecAgg+, and so to a [`SecAggNode`].
pub fn is_for(records: &RecordDict) -> bool {
    matches!(records.get(CONFIGS), Some(Record::Config(_)))
}
