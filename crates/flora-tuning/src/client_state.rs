use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Where clients that do not train keep their optimizers, and with
/// [`Participants::Alone`](flora_data::Participants::Alone) their own parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// On disk where more than 256 clients train, else in memory.
    #[default]
    Auto,
    /// In memory.
    Memory,
    /// In a temporary file, beside the image features.
    Disk,
}

/// As many clients keep their optimizers in memory: 50 MB of them for a paper's adapter of ViT-B/32.
const MOST_IN_MEMORY: usize = 256;

impl ClientState {
    pub(crate) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// Whether `clients` that train on `device` keep theirs on disk.
    pub(crate) fn is_on_disk(self, clients: usize, device: &Device) -> bool {
        match self {
            // burn reads an optimizer back by way of its default device. Where that is another than the one
            // in use, such as a GPU for a run on the CPU, nobody asked for it.
            Self::Auto => clients > MOST_IN_MEMORY && Device::default() == *device,
            Self::Memory => false,
            Self::Disk => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_clients_keep_their_state_on_disk() {
        let device = Device::default();
        let on_disk = |state: ClientState, clients| state.is_on_disk(clients, &device);
        assert!(!on_disk(ClientState::Auto, 256) && on_disk(ClientState::Auto, 257));
        assert!(!on_disk(ClientState::Memory, 257) && on_disk(ClientState::Disk, 2));
    }
}
