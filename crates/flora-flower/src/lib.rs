//! flora on Flower's SuperLink, the engine that carries federations across machines.
//!
//! - [`Link`] asks a SuperLink; [`services`] are its services, whose messages are in [`wire`].
//! - [`objects`] are what messages are made of on their way, and [`codec`] makes [`flora_federation::Message`]s of
//!   them: in flora's own form, which is small, or in that of Flower's Python.
//! - [`secaggplus`] answers servers that use Flower's SecAgg+.
//! - [`node::Node`] keeps a site's connection, and has its messages done by a [`node::Site`].
//! - [`server::SuperLinkFleet`] is the fleet of the sites that are there, for [`flora_federation::Rounds`].
//!
//! flwr 1.40, 1.41 and 1.42 speak the same. Flower calls this interface private, which is why all of it is here.

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

/// Fills `bytes` with what nobody can guess, from the system.
///
/// # Errors
/// The system has none.
pub fn random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}
