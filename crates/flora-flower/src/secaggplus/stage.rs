//! A node's state at each stage of a round.

use p384::PublicKey;
use zeroize::Zeroizing;

use super::agree::Secret;
use super::held::Held;
use super::settings::Settings;

/// The stage of a node.
pub(super) enum Stage {
    /// Outside any round.
    Idle,
    /// It has sent its keys.
    SetUp(Keys),
    /// It has sent its shares. Once it has the neighbours' shares, it trains.
    Shared(Shared, Option<Training>),
    /// It has sent its masked parameters. Of its secrets, only shares remain.
    Masked(Shares),
}

/// Settings and keys of a round.
pub(super) struct Keys {
    pub(super) settings: Settings,
    /// The key for masks; shares of it are sent.
    pub(super) mask: Secret,
    /// The key for the encryption of shares.
    pub(super) cipher: Secret,
}

/// A node that this one shares secrets with.
#[derive(Clone)]
pub(super) struct Neighbour {
    pub(super) id: u64,
    pub(super) mask: PublicKey,
    pub(super) cipher: PublicKey,
}

pub(super) struct Shared {
    pub(super) keys: Keys,
    /// The neighbours, without the node itself.
    pub(super) neighbours: Vec<Neighbour>,
    /// The seed of the node's own mask.
    pub(super) seed: Zeroizing<[u8; 32]>,
    /// The node's shares of its own secrets.
    pub(super) own: Held,
}

/// The state while the site trains.
pub(super) struct Training {
    /// The shares from the remaining neighbours.
    pub(super) received: Vec<Held>,
    /// The shapes of the arrays that the server sent, if any.
    pub(super) shapes: Vec<Vec<usize>>,
}

pub(super) struct Shares {
    pub(super) threshold: u32,
    /// All shares, including the node's own.
    pub(super) held: Vec<Held>,
}

impl Stage {
    /// The next expected message, for error messages.
    pub(super) fn expects(&self) -> &'static str {
        match self {
            Self::Idle => "`setup`",
            Self::SetUp(_) => "`share_keys` (or `setup`, for a new round)",
            Self::Shared(..) => "`collect_masked_vectors` (or `setup`, for a new round)",
            Self::Masked(_) => "`unmask` (or `setup`, for a new round)",
        }
    }
}
