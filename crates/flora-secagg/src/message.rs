//! Messages. A transport carries [`Request::to_bytes`] and [`Response::to_bytes`] as opaque bytes.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    ClientId, Result, Setup,
    wire::{Reader, Writer},
};

/// A stage of the protocol, named after the clients' reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Clients advertise fresh, signed keys.
    Keys,
    /// Clients deal shares of their secrets, sealed for each neighbour.
    Shares,
    /// Clients send their masked lanes.
    Masked,
    /// Clients sign the set of survivors: the clients whose masked lanes arrived.
    Signed,
    /// Clients open shares: of the survivors' seeds and of the dropped clients' mask keys.
    Opened,
    /// The attempt is over.
    Over,
}

impl Stage {
    /// All stages in which clients answer, in order.
    pub const ALL: [Self; 5] = [Self::Keys, Self::Shares, Self::Masked, Self::Signed, Self::Opened];

    pub(crate) fn next(self) -> Self {
        Self::ALL.into_iter().find(|stage| *stage > self).unwrap_or(Self::Over)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keys => "keys",
            Self::Shares => "shares",
            Self::Masked => "masked lanes",
            Self::Signed => "signed survivors",
            Self::Opened => "opened shares",
            Self::Over => "over",
        })
    }
}

/// Identifies the attempt, so that errors can distinguish a late message from a forged one. It proves nothing; the
/// digest of the whole setup in every key and signature does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The round.
    pub round: u64,
    /// The attempt.
    pub attempt: u64,
    /// The first bytes of the setup's digest.
    pub setup: [u8; 8],
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = u64::from_be_bytes(self.setup);
        write!(formatter, "round {}, attempt {} of setup {setup:016x}", self.round, self.attempt)
    }
}

/// From the server to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The attempt.
    pub tag: Tag,
    /// The client it is for.
    pub to: ClientId,
    /// The request itself.
    pub body: Ask,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Advertise keys for this setup.
    Setup(Setup),
    /// Deal shares to these neighbours.
    Keys(Vec<PublicKeys>),
    /// Send the update, masked with the neighbours that dealt these bundles; `peer` is the dealer.
    Bundles(Vec<Bundle>),
    /// Sign the set of survivors.
    Survivors(Survivors),
    /// Open shares: these neighbours signed the same set.
    Signatures(Vec<(ClientId, [u8; 64])>),
}

/// From a client to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The attempt.
    pub tag: Tag,
    /// The client.
    pub from: ClientId,
    /// The response itself.
    pub body: Answer,
}

/// The body of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Its public keys.
    Keys(PublicKeys),
    /// Its sealed shares.
    Shares(Shares),
    /// Its lanes, masked modulo 2^32.
    Masked {
        /// The digest of the task that it trained on; see [`Update::task`](crate::Update::task).
        task: [u8; 32],
        /// The lanes.
        lanes: Vec<u32>,
    },
    /// Its lanes, masked modulo powers of two as large as their sums need, and packed.
    Packed {
        /// The digest of the task that it trained on; see [`Update::task`](crate::Update::task).
        task: [u8; 32],
        /// The lanes.
        lanes: Vec<u8>,
    },
    /// Its signature of the survivors and its task.
    Signed([u8; 64]),
    /// The shares it holds: of the seed of each survivor, of the mask key of each neighbour that dropped out.
    Opened(Vec<Opening>),
}

/// The public keys of one client for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// The client.
    pub client: ClientId,
    /// Its long-term Ed25519 key.
    pub identity: [u8; 32],
    /// The X25519 key that pairwise masks are agreed with. Its secret half is shared among the neighbours.
    pub mask: [u8; 32],
    /// The X25519 key that bundles are sealed with. Its secret half never leaves the client.
    pub sealing: [u8; 32],
    /// The identity's signature of the setup's digest, the client's number and both keys.
    pub signature: [u8; 64],
}

/// Sealed shares from one client, and commitments to its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Commitment to the seed of the self mask.
    pub seed: [u8; 32],
    /// Commitment to the share of the seed that it keeps itself.
    pub own: [u8; 32],
    /// For each neighbour that advertised, in ascending order; `peer` is the receiver.
    pub bundles: Vec<Bundle>,
}

/// Two sealed shares from one client for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The other client: the receiver on the way to the server, the dealer on the way from it.
    pub peer: ClientId,
    /// The cipher's nonce.
    pub nonce: [u8; 12],
    /// Share of the seed, its blinding, share of the mask key, its blinding, and Poly1305's tag.
    pub sealed: [u8; SEALED],
    /// Commitment to the share of the seed. The server checks the opened share later; the receiver checks it at once,
    /// so that a dealer cannot blame the receiver.
    pub seed: [u8; 32],
    /// Commitment to the share of the mask key.
    pub key: [u8; 32],
}

/// Bytes of a sealed pair of shares.
pub const SEALED: usize = 2 * (32 + 16) + 16;

/// A set of the setup's clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivors(
    /// One bit for each position in the roster, the lowest of a byte first.
    pub Vec<u8>,
);

impl Survivors {
    pub(crate) fn of(count: usize, inside: impl Fn(usize) -> bool) -> Self {
        let mut bits = vec![0; count.div_ceil(8)];
        (0..count).filter(|i| inside(*i)).for_each(|i| bits[i / 8] |= 1 << (i % 8));
        Self(bits)
    }

    /// Whether the set has the form of one of `count` clients.
    pub(crate) fn fits(&self, count: usize) -> bool {
        self.0.len() == count.div_ceil(8) && (count..8 * self.0.len()).all(|i| !self.contains(i))
    }

    pub(crate) fn contains(&self, position: usize) -> bool {
        self.0.get(position / 8).is_some_and(|byte| byte >> (position % 8) & 1 == 1)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }
}

/// A share that its holder opens. Its bytes are zeroed when it is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Opening {
    /// The client that dealt it.
    #[zeroize(skip)]
    pub dealer: ClientId,
    /// The share, a number below the group's order, little-endian.
    pub share: [u8; 32],
    /// The blinding of the commitment.
    pub blind: [u8; 16],
}

impl Ask {
    /// The stage of the reply to it.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Setup(_) => Stage::Keys,
            Self::Keys(_) => Stage::Shares,
            Self::Bundles(_) => Stage::Masked,
            Self::Survivors(_) => Stage::Signed,
            Self::Signatures(_) => Stage::Opened,
        }
    }
}

impl Answer {
    /// The stage it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Keys(_) => Stage::Keys,
            Self::Shares(_) => Stage::Shares,
            Self::Masked { .. } | Self::Packed { .. } => Stage::Masked,
            Self::Signed(_) => Stage::Signed,
            Self::Opened(_) => Stage::Opened,
        }
    }
}

impl Tag {
    pub(crate) fn of(setup: &Setup) -> Self {
        let [first, ..] = setup.digest().as_chunks().0 else {
            unreachable!("a digest has 32 bytes")
        };
        Self { round: setup.session().round, attempt: setup.session().attempt, setup: *first }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.number(self.round);
        writer.number(self.attempt);
        writer.raw(&self.setup);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { round: reader.number()?, attempt: reader.number()?, setup: reader.array()? })
    }
}
