use flora_federation::AtRest;
use serde::{Deserialize, Serialize};

/// Where idle clients store their optimizers and the parameters that are not shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// On disk if more than 256 clients train, otherwise in memory.
    #[default]
    Auto,
    /// In memory.
    Memory,
    /// On disk: in the run's folder, or, if there is none, in a temporary file beside the image features.
    Disk,
}

/// Up to this number of clients, optimizers stay in memory: 50 MB of them for the paper's adapter of ViT-B/32.
const MOST_IN_MEMORY: usize = 256;

impl ClientState {
    pub(crate) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// Where `clients` training clients store their states.
    pub(crate) fn at_rest(self, clients: usize) -> AtRest {
        let on_disk = match self {
            Self::Auto => clients > MOST_IN_MEMORY,
            Self::Memory => false,
            Self::Disk => true,
        };
        if on_disk { AtRest::Disk } else { AtRest::Memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_clients_keep_their_state_on_disk() {
        let on_disk = |state: ClientState, clients| state.at_rest(clients) == AtRest::Disk;
        assert!(!on_disk(ClientState::Auto, 256) && on_disk(ClientState::Auto, 257));
        assert!(!on_disk(ClientState::Memory, 257) && on_disk(ClientState::Disk, 2));
    }
}
