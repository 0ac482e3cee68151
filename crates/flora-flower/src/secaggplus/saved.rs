//! A node's state as bytes: protobuf, preceded by a name and a checksum.

use p384::PublicKey;
use prost::Message;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::agree::Secret;
use super::held::Held;
use super::settings::{MOST_SHARES, Settings};
use super::stage::{Keys, Neighbour, Shared, Shares, Stage};
use super::{SecAggError, SecAggNode};

/// The format's name and version.
const MAGIC: &[u8] = b"flora-secaggplus-1\n";

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Saved {
    #[prost(uint64, tag = "1")]
    node: u64,
    /// The number of a [`Stage`].
    #[prost(uint32, tag = "2")]
    stage: u32,
    #[prost(message, optional, tag = "3")]
    settings: Option<SavedSettings>,
    #[prost(bytes = "vec", tag = "4")]
    mask: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    cipher: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    neighbours: Vec<SavedNeighbour>,
    #[prost(bytes = "vec", tag = "7")]
    seed: Vec<u8>,
    #[prost(message, repeated, tag = "8")]
    held: Vec<SavedHeld>,
    #[prost(uint32, tag = "9")]
    threshold: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedSettings {
    #[prost(uint64, tag = "1")]
    sample_num: u64,
    #[prost(uint32, tag = "2")]
    share_num: u32,
    #[prost(uint32, tag = "3")]
    threshold: u32,
    #[prost(double, tag = "4")]
    clipping_range: f64,
    #[prost(uint32, tag = "5")]
    target_range: u32,
    #[prost(uint64, tag = "6")]
    mod_range: u64,
    #[prost(double, tag = "7")]
    max_weight: f64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedNeighbour {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(bytes = "vec", tag = "2")]
    mask: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    cipher: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct SavedHeld {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(bytes = "vec", tag = "2")]
    seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.mask.zeroize();
        self.cipher.zeroize();
        self.seed.zeroize();
    }
}

impl Drop for SavedHeld {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.key.zeroize();
    }
}

impl SecAggNode {
    /// The state, including all secrets: write it to a file that only the owner can read.
    ///
    /// Training in progress is not part of it. Its message has to be received again.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut saved = Saved::default();
        saved.node = self.id;
        match &self.stage {
            Stage::Idle => {}
            Stage::SetUp(keys) => {
                saved.stage = 1;
                saved.keep_keys(keys);
            }
            Stage::Shared(shared, _) => {
                saved.stage = 2;
                saved.keep_keys(&shared.keys);
                saved.neighbours = shared.neighbours.iter().map(SavedNeighbour::from).collect();
                saved.seed = shared.seed.to_vec();
                saved.held = vec![SavedHeld::from(&shared.own)];
            }
            Stage::Masked(shares) => {
                saved.stage = 3;
                saved.threshold = shares.threshold;
                saved.held = shares.held.iter().map(SavedHeld::from).collect();
            }
        }
        let body = Zeroizing::new(saved.encode_to_vec());
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + 32 + body.len()));
        bytes.extend(MAGIC);
        bytes.extend(Sha256::digest(&*body));
        bytes.extend(body.iter());
        bytes
    }

    /// Restores the node from [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// [`SecAggError::State`] for bytes that are damaged, or from another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecAggError> {
        let foreign = SecAggError::State("is not of this version of flora");
        let damaged = || SecAggError::State("is damaged");
        let rest = bytes.strip_prefix(MAGIC).ok_or(foreign)?;
        let (digest, body) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(damaged());
        }
        let saved = Saved::decode(body).map_err(|_| damaged())?;
        let stage = saved.stage().ok_or_else(damaged)?;
        Ok(Self { id: saved.node, stage })
    }
}

impl Saved {
    fn keep_keys(&mut self, keys: &Keys) {
        let Settings {
            sample_num,
            share_num,
            threshold,
            clipping_range,
            target_range,
            mod_range,
            max_weight,
        } = keys.settings;
        self.settings = Some(SavedSettings {
            sample_num,
            share_num,
            threshold,
            clipping_range,
            target_range,
            mod_range,
            max_weight,
        });
        self.mask = keys.mask.to_bytes().to_vec();
        self.cipher = keys.cipher.to_bytes().to_vec();
    }

    fn stage(&self) -> Option<Stage> {
        let held = || self.held.iter().map(SavedHeld::read).collect::<Option<Vec<Held>>>();
        Some(match self.stage {
            0 => Stage::Idle,
            1 => Stage::SetUp(self.keys()?),
            2 => {
                let seed = Zeroizing::new(self.seed.as_slice().try_into().ok()?);
                let own = held()?.pop().filter(|own| own.node == self.node)?;
                let neighbours =
                    self.neighbours.iter().map(SavedNeighbour::read).collect::<Option<_>>()?;
                Stage::Shared(Shared { keys: self.keys()?, neighbours, seed, own }, None)
            }
            3 => Stage::Masked(Shares { threshold: self.threshold, held: held()? }),
            _ => return None,
        })
    }

    fn keys(&self) -> Option<Keys> {
        let SavedSettings {
            sample_num,
            share_num,
            threshold,
            clipping_range,
            target_range,
            mod_range,
            max_weight,
        } = *self.settings.as_ref()?;
        let settings = Settings {
            sample_num,
            share_num,
            threshold,
            clipping_range,
            target_range,
            mod_range,
            max_weight,
        };
        settings.check().ok().filter(|()| u64::from(share_num) <= MOST_SHARES)?;
        let [mask, cipher] = [&self.mask, &self.cipher].map(|bytes| Secret::from_bytes(bytes));
        Some(Keys { settings, mask: mask?, cipher: cipher? })
    }
}

impl From<&Neighbour> for SavedNeighbour {
    fn from(it: &Neighbour) -> Self {
        let [mask, cipher] = [&it.mask, &it.cipher].map(|key| key.to_sec1_bytes().into_vec());
        Self { node: it.id, mask, cipher }
    }
}

impl SavedNeighbour {
    fn read(&self) -> Option<Neighbour> {
        let [mask, cipher] =
            [&self.mask, &self.cipher].map(|key| PublicKey::from_sec1_bytes(key).ok());
        Some(Neighbour { id: self.node, mask: mask?, cipher: cipher? })
    }
}

impl From<&Held> for SavedHeld {
    fn from(it: &Held) -> Self {
        Self { node: it.node, seed: it.seed.to_vec(), key: it.key.to_vec() }
    }
}

impl SavedHeld {
    fn read(&self) -> Option<Held> {
        let [seed, key] = [&self.seed, &self.key].map(|share| Zeroizing::new(share.clone()));
        Some(Held { node: self.node, seed, key }).filter(Held::is_right)
    }
}
