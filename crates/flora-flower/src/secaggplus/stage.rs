//! What a node knows at each stage of a round.

use p384::PublicKey;
use zeroize::Zeroizing;

use super::agree::Secret;
use super::held::Held;
use super::settings::Settings;

/// Where a node is.
pub(super) enum Stage {
    /// In no round, or done with one.
    Idle,
    /// Its keys are sent.
    SetUp(Keys),
    /// Its shares are sent. With the neighbours' shares, it trains.
    Shared(Shared, Option<Training>),
    /// Its masked parameters are sent. Of its secrets, only shares are left.
    Masked(Shares),
}

/// Settings and keys of a round.
pub(super) struct Keys {
    pub(super) settings: Settings,
    /// For masks; shares of it are sent.
    pub(super) mask: Secret,
    /// For the encryption of shares.
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
    /// Without the node itself.
    pub(super) neighbours: Vec<Neighbour>,
    /// Of the node's own mask.
    pub(super) seed: Zeroizing<[u8; 32]>,
    /// The node's shares of its own secrets.
    pub(super) own: Held,
}

/// While the site trains.
pub(super) struct Training {
    /// Those that are still there.
    pub(super) received: Vec<Held>,
    /// Of the arrays that the server sent, if it sent any.
    pub(super) shapes: Vec<Vec<usize>>,
}

pub(super) struct Shares {
    pub(super) threshold: u32,
    /// Those of the node itself among them.
    pub(super) held: Vec<Held>,
}

impl Stage {
    /// What comes next, for people.
    pub(super) fn expects(&self) -> &'static str {
        match self {
            Self::Idle => "`setup`",
            Self::SetUp(_) => "`share_keys` (or `setup`, for a new round)",
            Self::Shared(..) => "`collect_masked_vectors` (or `setup`, for a new round)",
            Self::Masked(_) => "`unmask` (or `setup`, for a new round)",
        }
    }
}
