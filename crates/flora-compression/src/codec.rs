use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::bytes::Fields;
use crate::error::CodecError;
use crate::numbers::Numbers;
use crate::sparse::KeptEntries;
use crate::{eden, lossless};

/// The encoding of an update's tensors: in experiment files a word, or a table with the word as its `kind` and the
/// settings beside it.
///
/// ```
/// use flora_compression::{Codec, Values};
///
/// #[derive(serde::Deserialize)]
/// struct Federation {
///     upload: Codec,
/// }
///
/// let read = |text| toml::from_str::<Federation>(text).map(|it| it.upload);
/// assert_eq!(read(r#"upload = "eden""#)?, Codec::Eden { bits: 2 });
/// let codec = read(r#"upload = { kind = "top-k", density = 0.05 }"#)?;
/// assert_eq!(codec, Codec::TopK { density: 0.05, values: Values::Int8 });
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Codec {
    /// `"f32"`: single precision, lossless.
    #[default]
    F32,
    /// `"f16"`: half precision; values beyond ±65504 are an error.
    F16,
    /// `"bf16"`: the range of single precision with 8 significant bits.
    Bf16,
    /// `"int8"`: 255 levels between plus and minus the largest magnitude of a tensor, with stochastic rounding, which
    /// is unbiased ([arXiv 1610.02132](https://arxiv.org/abs/1610.02132)).
    Int8,
    /// `"int4"`: like `"int8"`, with 15 levels.
    Int4,
    /// `"eden"`: a random rotation and 1 to 4 bits per number, unbiased ([arXiv
    /// 2108.08842](https://arxiv.org/abs/2108.08842)).
    Eden {
        /// Bits per number, 1 to 4; 2 by default.
        bits: u8,
    },
    /// `"top-k"`: the largest magnitudes of each tensor ([arXiv 1704.05021](https://arxiv.org/abs/1704.05021)).
    TopK {
        /// The share of each tensor that is sent, above 0 and at most 1; 0.1 by default.
        density: f64,
        /// The format of the values; int8 by default.
        values: Values,
    },
    /// `"ternary"`: the signs of the largest magnitudes of each tensor, and their mean
    /// ([arXiv 1903.02891](https://arxiv.org/abs/1903.02891)).
    Ternary {
        /// The share of each tensor that is sent, above 0 and at most 1; 0.05 by default.
        density: f64,
    },
}

/// The format of the values in [`Codec::TopK`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Values {
    /// Like [`Codec::F32`].
    F32,
    /// Like [`Codec::F16`].
    F16,
    /// Like [`Codec::Int8`].
    #[default]
    Int8,
    /// Like [`Codec::Int4`].
    Int4,
}

/// The format of a message before the lossless stage.
enum Stage {
    Dense(Numbers),
    Eden(u8),
    Sparse(KeptEntries, f64),
}

impl Codec {
    /// The word in experiment files, such as `top-k`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Eden { .. } => "eden",
            Self::TopK { .. } => "top-k",
            Self::Ternary { .. } => "ternary",
        }
    }

    /// Whether the decoded tensors are bit-identical to the encoded ones.
    pub fn is_lossless(&self) -> bool {
        matches!(self, Self::F32)
    }

    /// Whether most numbers are decoded as zero.
    pub fn is_sparse(&self) -> bool {
        matches!(self, Self::TopK { .. } | Self::Ternary { .. })
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The setting's name, its problem and the remedy.
    pub fn check(&self) -> Result<(), String> {
        match *self {
            Self::Eden { bits } if !(1..=4).contains(&bits) => {
                Err(format!("bits: {bits} is not between 1 and 4; choose 2"))
            }
            Self::TopK { density, .. } | Self::Ternary { density }
                if !(density > 0.0 && density <= 1.0) =>
            {
                Err(format!("density: {density} is not above 0 and at most 1; choose 0.1"))
            }
            _ => Ok(()),
        }
    }

    /// Encodes tensors, in an order that both sides know.
    ///
    /// `rng` is used for stochastic rounding. `shared` is the seed of EDEN's rotation, which the decoder must know;
    /// **it must differ between clients and rounds**, otherwise their errors do not cancel out in the mean.
    ///
    /// # Errors
    /// The errors of [`check`](Self::check) as [`CodecError::Setting`], [`CodecError::NotFinite`] for a tensor with NaN
    /// or infinity, and [`CodecError::Range`] for a value that the format cannot represent.
    pub fn encode(
        &self,
        tensors: &[&[f32]],
        shared: u64,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Vec<u8>, CodecError> {
        self.check().map_err(CodecError::Setting)?;
        for (tensor, values) in tensors.iter().enumerate() {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(CodecError::NotFinite { tensor, index, value: values[index] });
            }
        }
        let sections = match self.stage() {
            Stage::Dense(numbers) => numbers.encode(tensors, rng)?,
            Stage::Eden(bits) => eden::encode(tensors, bits, shared),
            Stage::Sparse(kept, density) => kept.encode(tensors, density, rng)?,
        };
        Ok(lossless::pack(&sections))
    }

    /// Decodes tensors of the given lengths. All values are finite.
    ///
    /// It allocates a small multiple of the memory for tensors of these lengths, whatever the message claims.
    ///
    /// # Errors
    /// The errors of [`check`](Self::check) as [`CodecError::Setting`], [`CodecError::Length`] and
    /// [`CodecError::Damaged`] for a message that does not fit this codec and these lengths, and
    /// [`CodecError::TooLarge`].
    pub fn decode(
        &self,
        message: &[u8],
        lengths: &[usize],
        shared: u64,
    ) -> Result<Vec<Vec<f32>>, CodecError> {
        self.check().map_err(CodecError::Setting)?;
        let total = lengths.iter().try_fold(lengths.len(), |sum, &length| sum.checked_add(length));
        // No format needs more than 8 bytes per number and per tensor.
        if total.is_none_or(|total| total > usize::MAX / 8) {
            return Err(CodecError::TooLarge);
        }
        let stage = self.stage();
        let most = match &stage {
            Stage::Dense(numbers) => numbers.byte_len(lengths),
            Stage::Eden(bits) => eden::byte_len(lengths.iter().sum(), *bits),
            Stage::Sparse(kept, density) => kept.most_bytes(lengths, *density),
        };
        let plain = lossless::unpack(message, most)?;
        if plain.len() != most && !self.is_sparse() {
            return Err(CodecError::Length { expected: most, actual: plain.len() });
        }
        let mut fields = Fields::new(&plain);
        match stage {
            Stage::Dense(numbers) => numbers.decode(&mut fields, lengths),
            Stage::Eden(bits) => eden::decode(&mut fields, lengths, bits, shared),
            Stage::Sparse(kept, density) => kept.decode(&mut fields, lengths, density),
        }
    }

    fn stage(&self) -> Stage {
        match *self {
            Self::F32 => Stage::Dense(Numbers::F32),
            Self::F16 => Stage::Dense(Numbers::F16),
            Self::Bf16 => Stage::Dense(Numbers::Bf16),
            Self::Int8 => Stage::Dense(Numbers::Int8),
            Self::Int4 => Stage::Dense(Numbers::Int4),
            Self::Eden { bits } => Stage::Eden(bits),
            Self::TopK { density, values } => {
                let numbers = match values {
                    Values::F32 => Numbers::F32,
                    Values::F16 => Numbers::F16,
                    Values::Int8 => Numbers::Int8,
                    Values::Int4 => Numbers::Int4,
                };
                Stage::Sparse(KeptEntries::Numbers(numbers), density)
            }
            Self::Ternary { density } => Stage::Sparse(KeptEntries::Signs, density),
        }
    }
}
