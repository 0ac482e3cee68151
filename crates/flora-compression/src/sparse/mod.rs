//! Sparse updates: the largest magnitudes of each tensor, with their positions.
//!
//! Of a tensor of n numbers, the `k = max(1, round(density n))` with the largest magnitudes are sent (top-k
//! sparsification, [arXiv 1704.05021](https://arxiv.org/abs/1704.05021)); the decoder sets the others to zero. The
//! result is therefore biased: keep the rest and add it to the next update (error feedback).
//!
//! **Positions** are encoded as gaps, the number of skipped values before each sent one, in a Golomb-Rice code: `gap >>
//! r` ones, a zero, and the lowest `r` bits of the gap. Each tensor uses the `r` that takes the fewest bits.
//!
//! **Ternary** sends the sign of each value and one magnitude per tensor: the mean magnitude of the values that are
//! sent (sparse ternary compression, [Sattler et al., 2019](https://arxiv.org/abs/1903.02891)).
//!
//! | bytes | contents |
//! |---|---|
//! | 1 per tensor | r, from 0 to 31 |
//! | as in [`crate::numbers`] | `top-k`: the values sent |
//! | 4 per tensor | `ternary`: the mean magnitude, as little-endian `f32` |
//! | 1 bit per value sent, rounded up | `ternary`: set if it is negative |
//! | the rest | positions: gaps; the last byte is zero-padded |
//!
//! Bytes are filled from their lowest bit. Within a tensor, values are in the order of their positions.

mod positions;

use rand::Rng;

use crate::bits::{BitReader, BitWriter};
use crate::bytes::{Fields, write_scales};
use crate::error::CodecError;
use crate::numbers::Numbers;

/// The encoding of the values that are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum KeptEntries {
    Numbers(Numbers),
    /// A sign each, and the mean magnitude.
    Signs,
}

/// The number of values of each tensor that are sent.
fn counts(lengths: &[usize], density: f64) -> Vec<usize> {
    lengths.iter().map(|&length| positions::count(length, density)).collect()
}

impl KeptEntries {
    /// The sections of a message. `density` is above 0 and at most 1.
    ///
    /// # Errors
    /// [`CodecError::Range`].
    pub(crate) fn encode(
        self,
        tensors: &[&[f32]],
        density: f64,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Vec<Vec<u8>>, CodecError> {
        let (mut parameters, mut bits) = (Vec::new(), BitWriter::default());
        let mut kept = Vec::<Vec<f32>>::new();
        for tensor in tensors {
            let places = positions::largest(tensor, positions::count(tensor.len(), density));
            parameters.push(positions::write(&places, &mut bits));
            kept.push(places.into_iter().map(|at| tensor[at]).collect());
        }
        let mut sections = vec![parameters];
        match self {
            Self::Numbers(numbers) => {
                let kept: Vec<&[f32]> = kept.iter().map(Vec::as_slice).collect();
                sections.extend(numbers.encode(&kept, rng)?);
            }
            Self::Signs => {
                let mut signs = BitWriter::default();
                for value in kept.iter().flatten() {
                    signs.write(value.is_sign_negative().into(), 1);
                }
                sections.push(write_scales(kept.iter().map(|kept| mean_magnitude(kept))));
                sections.push(signs.finish());
            }
        }
        sections.push(bits.finish());
        Ok(sections)
    }

    /// Decodes the tensors.
    ///
    /// # Errors
    /// [`CodecError::Length`] and [`CodecError::Damaged`].
    pub(crate) fn decode(
        self,
        fields: &mut Fields<'_>,
        lengths: &[usize],
        density: f64,
    ) -> Result<Vec<Vec<f32>>, CodecError> {
        let counts = counts(lengths, density);
        let parameters = fields.take(lengths.len())?;
        let kept = match self {
            Self::Numbers(numbers) => numbers.decode(fields, &counts)?,
            Self::Signs => {
                let scales = fields.scales(counts.len())?;
                let signs = fields.take(counts.iter().sum::<usize>().div_ceil(8))?;
                let mut signs = BitReader::new(signs);
                let mut kept = Vec::new();
                for (&scale, &count) in scales.iter().zip(&counts) {
                    let mut value = || Ok(if signs.read(1)? == 1 { -scale } else { scale });
                    kept.push((0..count).map(|_| value()).collect::<Result<Vec<_>, _>>()?);
                }
                signs.finish()?;
                kept
            }
        };
        let mut bits = BitReader::new(fields.rest());
        let mut tensors = Vec::with_capacity(lengths.len());
        for ((&length, kept), &parameter) in lengths.iter().zip(kept).zip(parameters) {
            let places = positions::read(parameter, kept.len(), length, &mut bits)?;
            let mut tensor = vec![0.0; length];
            places.into_iter().zip(kept).for_each(|(at, value)| tensor[at] = value);
            tensors.push(tensor);
        }
        bits.finish()?;
        Ok(tensors)
    }

    /// An upper bound on the bytes of tensors of these lengths.
    pub(crate) fn most_bytes(self, lengths: &[usize], density: f64) -> usize {
        let counts = counts(lengths, density);
        let kept = match self {
            Self::Numbers(numbers) => numbers.byte_len(&counts),
            Self::Signs => 4 * counts.len() + counts.iter().sum::<usize>().div_ceil(8),
        };
        // Positions never take more than a bitmap.
        lengths.len() + kept + lengths.iter().sum::<usize>().div_ceil(8)
    }
}

fn mean_magnitude(values: &[f32]) -> f32 {
    let sum = values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
    (sum / values.len().max(1) as f64) as f32
}
