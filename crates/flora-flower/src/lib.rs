//! flora on Flower's SuperLink, the engine that runs federations across machines.
//!
//! - [`Link`] sends requests to a SuperLink; [`services`] are its services, whose messages are in [`wire`].
//! - [`objects`] are the parts of which messages are made in transit. [`codec`] converts them to
//!   [`flora_federation::Message`]s: in flora's own compact form, or in the form of Flower's Python.
//! - [`secaggplus`] answers servers that use Flower's SecAgg+.
//! - [`node::Node`] maintains a site's connection, and passes its messages to a [`node::Site`].
//! - [`server::SuperLinkFleet`] is the fleet of connected sites, for [`flora_federation::Rounds`].
//!
//! flwr 1.40, 1.41 and 1.42 use the same protocol. Flower calls this interface private, so all of it is implemented
//! here.

pub mod codec;
pub mod doctor;
mod error;
mod http;
pub mod key;
pub mod names;
pub mod node;
pub mod objects;
mod pairs;
pub mod secaggplus;
pub mod server;
pub mod services;
pub mod wire;

pub use codec::CodecError;
pub use error::{LinkError, NodeError, ServerError};
pub use http::{Link, LinkConfig, Outage, read_certificates};
pub use key::{KeyError, NodeKey, PublicKey};
pub use names::{Names, NamesError};

/// Fills `bytes` with the system's cryptographic random numbers.
///
/// # Errors
/// The system has no random numbers.
pub fn random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}
