//! The output of `tests/fixtures/make_secaggplus.py`.

use std::ops::Deref;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

/// Bytes, as base64 in a file.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
pub(super) struct Primitives {
    pub(super) agreements: Vec<Agreement>,
    pub(super) not_keys: Vec<Bytes>,
    pub(super) fernet: Fernet,
    pub(super) shamir: Vec<Shamir>,
    pub(super) masks: Vec<MaskCase>,
    pub(super) quantized: Vec<Quantized>,
}

#[derive(Deserialize)]
pub(super) struct Agreement {
    pub(super) a: Key,
    pub(super) b: Key,
    pub(super) shared: Bytes,
}

#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) scalar: Bytes,
    pub(super) private: Bytes,
    pub(super) public: Bytes,
}

#[derive(Deserialize)]
pub(super) struct Fernet {
    pub(super) generate: Vec<Generate>,
    pub(super) invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
pub(super) struct Generate {
    pub(super) token: String,
    pub(super) seconds: u64,
    pub(super) iv: Vec<u8>,
    pub(super) src: String,
    pub(super) secret: String,
}

#[derive(Deserialize)]
pub(super) struct Invalid {
    pub(super) desc: String,
    pub(super) token: String,
    pub(super) secret: String,
}

#[derive(Deserialize)]
pub(super) struct Shamir {
    pub(super) secret: Bytes,
    pub(super) threshold: u32,
    pub(super) draws: Bytes,
    pub(super) shares: Vec<Bytes>,
}

#[derive(Deserialize)]
pub(super) struct MaskCase {
    pub(super) seed: Bytes,
    pub(super) modulus: u64,
    pub(super) arrays: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
pub(super) struct Quantized {
    pub(super) clipping_range: f64,
    pub(super) target_range: u32,
    pub(super) max_weight: f64,
    pub(super) num_examples: usize,
    pub(super) weight: u32,
    pub(super) values: Vec<f32>,
    pub(super) draws: Vec<f64>,
    pub(super) quantized: Vec<u32>,
}

impl Primitives {
    pub(super) fn load() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/secaggplus/primitives.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}

/// The system's random numbers.
pub(super) fn from_system() -> impl FnMut(&mut [u8]) -> Result<(), getrandom::Error> {
    crate::random
}
