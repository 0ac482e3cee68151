//! Secure aggregation: the server learns the weighted sum of the clients' updates, but no individual update.
//!
//! The protocol is that of Bonawitz et al. 2017 (<https://eprint.iacr.org/2017/281>), on the sparse graph of neighbours
//! of Bell et al. 2020 (<https://eprint.iacr.org/2020/704>), with signed keys and signed survivors against a server
//! that lies. Two neighbours agree on a mask that one adds and the other subtracts; each client also adds a self mask.
//! The neighbours hold shares of the secrets behind both. For a client in the sum, they open the self mask; for one
//! that dropped out, the pairwise masks; never both.
//!
//! In the rounds of a federation, [`Secure`] wraps a client and [`SecureFleet`] wraps a fleet. Below them, [`Client`]
//! and [`Server`] are state machines without threads or connections. A transport carries [`Request::to_bytes`] and
//! [`Response::to_bytes`].
//!
//! | stage | request | response |
//! |---|---|---|
//! | [`Stage::Keys`] | the setup | two X25519 keys, signed with Ed25519 |
//! | [`Stage::Shares`] | the neighbours' keys | shares of two secrets for each neighbour, sealed; commitments to all |
//! | [`Stage::Masked`] | the bundles for this client | its masked lanes; the digest of its task |
//! | [`Stage::Signed`] | the set of survivors: clients whose lanes arrived | its signature of the set and of its task |
//! | [`Stage::Opened`] | the neighbours' signatures | the share of each neighbour's seed or mask key |
//!
//! # Few bits
//!
//! By default lanes are words of 32 bits, filled by the sum of all clients. With [`Config::bits`] a client's value has
//! fewer bits, and a lane has as many as the sum of all clients' values needs: the masked lanes are packed, masks are
//! added modulo `2^lane`, and sums never wrap. [`Config::norm`] rotates updates at random before they are rounded, so
//! that the range of a lane follows from the norm of an update, and rounds at random, without bias. A value or norm out
//! of range is an error of the client; it is never clipped and never wrapped. In rounds of a federation, rotation and
//! rounding follow from the run's name, the round and the client, so that a repeated run is bit-identical.
//!
//! Measured with 24,576 values and 10 clients (`tests/packed.rs`; the error is the squared error of the mean relative
//! to the mean's squared norm, for independent updates at the bound; it is the same without masks):
//!
//! | setting | bits of a lane | bytes of the masked lanes | error |
//! |---|---:|---:|---:|
//! | none, `range` the largest number | 32 | 98,353 | 4.8e-17 |
//! | `bits = 16`, `norm` | 20 | 61,491 | 5.7e-9 |
//! | `bits = 8`, `norm` | 12 | 36,915 | 3.9e-4 |
//! | `bits = 4`, `norm` | 8 | 24,627 | 0.13 |
//!
//! The error grows with the square of the bound over an update's norm. If the clients' updates are similar, it is
//! smaller, by a factor of up to the number of clients.
//!
//! # Cost
//!
//! Time of one client for 24,576 values, in one thread of an AMD EPYC (Zen 5), without waiting for others: 1.7 ms with
//! 10 clients, 6.1 ms with 100 and 15.2 ms with 1000 (94 neighbours). Of the last, 6.9 ms are 188 X25519 agreements of
//! 36 us, 5.5 ms are 95 masks of 58 us (ChaCha20 with AVX2), 1.5 ms are 128 signatures, verified together, and 0.6 ms
//! are shares. Packed lanes take less time: with 10 clients 1.5 ms at 8 bits and 1.4 ms at 4. The rotation adds 0.8 ms.
//! Fewer neighbours reduce every cost: planned for a dropout of 0.1 instead of 0.3, 1000 clients have 48, and each
//! takes 8.1 ms, with the same bounds for colluders ([`Faults`]).
//!
//! # What the server learns
//!
//! Participants, and the stage at which each dropout happened; the sum of the weights; the weighted sum of the
//! updates, rounded to the lanes. Everything else it sees is indistinguishable from random numbers, as long as fewer
//! than `threshold - 1` of a client's neighbours work together with it.
//!
//! Against a server that lies about dropouts:
//!
//! - A client opens shares only for a set of at least `minimum` survivors that `threshold` of its share holders signed,
//!   itself included. It opens shares once.
//! - Opening both secrets of a client takes `2 threshold - holders` corrupt holders. [`Policy::majority`] requires that
//!   this is positive; [`Adversary::Active`] plans for it.
//! - Two sums that differ by one client would reveal that client's update. [`Past`] refuses a second attempt at a round
//!   after shares were opened.
//! - A server could send one client the model and the others a model without a gradient; the sum would then be that
//!   client's update ([Pasquini et al. 2022](https://arxiv.org/abs/2111.07380)). The masks of two neighbours therefore
//!   follow from the digests of their tasks ([`Update::task`]), and cancel only if these are the same. A client also
//!   signs its task together with the survivors, and opens no shares if a neighbour signed another one.
//! - Two vectors under the same masks would reveal their difference. A client masks once in each attempt, and
//!   [`Secure`] refuses a request of another attempt than its task's. At a site, whose server may have it restored to
//!   an earlier state, no state has masks that were not used ([`Secure::forgetting_unused_masks`]).
//! - A client compares the setup with its own [`Config`]. Whether a value fits the range does not depend on
//!   `max_weight`, which the server may choose.
//!
//! # Limits
//!
//! - A sum reveals something about its parts: each of two clients can subtract its own part, and two rounds that
//!   differ by one client bound that client's update. Differential privacy addresses that (`flora-privacy`).
//! - A client may lie about its own values within the range. Lanes outside the range are noticed only in the sum.
//! - The server draws the graph. [`plan`] assumes an honest draw; a server that controls many clients could search for
//!   a seed that surrounds an honest client with them. A complete graph leaves it no choice.
//! - The server can end the attempt at any time, or leave clients out of the sum; `minimum` bounds how many.
//! - The digest covers what the server sent for this round. It covers neither earlier rounds, which the clients'
//!   optimizers remember, nor the choice of the model: all clients train on what the server sent to all, and it may be
//!   a model that only images of one kind change. [`Policy::clients`] and noise on the updates limit what such a sum reveals.
//! - Identities of [`Directory::FirstUse`] are trusted once: a server that lies in the first round can invent clients.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use flora_secagg::{ClientId, Config, Session, Stage, Update, simulate, system_rng};
//!
//! let mut rng = system_rng()?;
//! let config = Config { range: 0.5, max_weight: 100, ..Config::default() };
//! let session = Session { run: "demo".into(), round: 1, attempt: 0 };
//! let setup = config.setup(session, (0..5).map(ClientId).collect(), 2, &mut rng)?;
//! let update = Update { values: &[0.25, -0.125], weight: 80, task: [7; 32] };
//! let dropouts = BTreeMap::from([(ClientId(3), Stage::Masked)]);
//! let outcome = simulate::run(&setup, &[update; 5], &dropouts, &mut rng)?;
//! assert_eq!(outcome.sum.weight(), 320);
//! assert!((outcome.sum.mean()?[0] - 0.25).abs() < 1e-6);
//! # Ok::<(), flora_secagg::SecaggError>(())
//! ```

mod bytes;
mod client;
mod config;
mod crypto;
mod directory;
mod error;
mod graph;
mod lanes;
mod message;
mod packing;
mod past;
mod plan;
mod rotation;
mod rounds;
mod secrets;
mod server;
mod setup;
mod shamir;
pub mod simulate;
#[cfg(test)]
mod vectors;
mod wire;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub use client::{Client, Update};
pub use config::{ClientId, Config, Policy, Session};
pub use directory::Directory;
pub use ed25519_dalek::{SigningKey, VerifyingKey};
pub use error::{Fault, Result, SecaggError};
pub use lanes::{Rounding, Sum};
pub use message::{
    Answer, Ask, Bundle, Opening, PublicKeys, Request, Response, SEALED, Shares, Stage, Survivors,
    Tag,
};
pub use past::Past;
pub use plan::{Adversary, Faults, Plan, plan};
pub use rand_chacha::rand_core;
pub use rounds::{MOST_EXAMPLES, SECURE, Secure, SecureFacts, SecureFleet, begins_round};
pub use server::Server;
pub use setup::Setup;

/// A random generator for all functions that take one: ChaCha20 with 20 rounds, with a key from the operating system.
///
/// # Errors
///
/// [`SecaggError::Random`] if the operating system provides no random bytes.
pub fn system_rng() -> Result<ChaCha20Rng> {
    ChaCha20Rng::try_from_rng(&mut getrandom::SysRng)
        .map_err(|error| SecaggError::Random(error.to_string()))
}
