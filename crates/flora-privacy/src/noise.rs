use flora_core::{ParameterRecord, hex};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The source of noise: the key of a cryptographic generator, ChaCha20.
///
/// Anyone who knows the key knows the noise. A simulation derives it from its seed, so that a run can be repeated; on
/// clients' own machines it must come from the operating system ([`Secret::fresh`]).
///
/// The bytes are erased when the value is dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A secret from 32 bytes that nobody else knows.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A secret from the operating system's random numbers.
    ///
    /// # Errors
    /// The operating system cannot provide random numbers.
    pub fn fresh() -> Result<Self, String> {
        let mut rng = rand::rngs::SysRng;
        let mut bytes = [0; 32];
        rand::TryRng::try_fill_bytes(&mut rng, &mut bytes)
            .map_err(|error| format!("the operating system gives no random numbers: {error}"))?;
        Ok(Self(bytes))
    }

    /// A secret from 64 hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(hex::decode(text)?);
        bytes.as_slice().try_into().ok().map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives the secret of one task, so that two tasks have different noise and draws.
    #[must_use]
    pub fn for_task(&self, task: &[u8]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"flora privacy task");
        hash.update(self.0);
        hash.update(task);
        Self(hash.finalize().into())
    }

    /// The generator for the release number `release` of `contents`. The same inputs give the same generator, so that a
    /// round repeated after a crash is the same release. Other contents under the same number get other noise: the
    /// difference of two releases with the same noise would reveal everything.
    pub(crate) fn stream<'a>(
        &self,
        release: u64,
        deviation: f64,
        contents: impl IntoIterator<Item = &'a ParameterRecord>,
    ) -> ChaCha20Rng {
        // Equal normal numbers scaled by two deviations would reveal them.
        let mut hash = self.hash(b"flora privacy noise", release);
        hash.update(deviation.to_le_bytes());
        for record in contents {
            for (name, tensor) in record.iter() {
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name);
                hash.update((tensor.byte_len() as u64).to_le_bytes());
                hash.update(tensor.to_le_bytes());
            }
        }
        ChaCha20Rng::from_seed(hash.finalize().into())
    }

    /// Adds Gaussian noise of this standard deviation for the release with this number. As for any release, the same
    /// values get the same noise.
    pub fn add_noise(&self, release: u64, values: &mut [f64], deviation: f64) {
        let mut hash = self.hash(b"flora privacy sums", release);
        hash.update(deviation.to_le_bytes());
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        let mut rng = ChaCha20Rng::from_seed(hash.finalize().into());
        values.iter_mut().for_each(|value| *value += normal(&mut rng, deviation));
    }

    /// The generator that draws the participants of the step with this number; others cannot predict it.
    pub fn coins(&self, step: u64) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.hash(b"flora privacy coins", step).finalize().into())
    }

    fn hash(&self, domain: &[u8], number: u64) -> Sha256 {
        let mut hash = Sha256::new_with_prefix(domain);
        hash.update(self.0);
        hash.update(number.to_le_bytes());
        hash
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A normal random number with this standard deviation.
pub(crate) fn normal(rng: &mut ChaCha20Rng, deviation: f64) -> f64 {
    let standard: f64 = StandardNormal.sample(rng);
    deviation * standard
}
