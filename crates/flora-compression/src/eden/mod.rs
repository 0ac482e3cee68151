//! EDEN: a random rotation, one to four bits per number, and a scale that makes the result unbiased.
//!
//! From [Vargaftik et al., 2022](https://arxiv.org/abs/2108.08842); with one bit it is DRIVE
//! ([arXiv 2105.08339](https://arxiv.org/abs/2105.08339)). For a block `x` of D numbers:
//!
//! 1. `y = H D2 H D1 x / D`, with H the Hadamard matrix and D1, D2 random signs that both sides draw from a common
//!    seed. The entries of `y` are nearly Gaussian, whatever `x` is.
//! 2. `z` is the quantisation of `y sqrt(D) / |y|`: each entry becomes the nearest of the 2 to 16 values that minimise
//!    the mean squared error for the standard normal distribution (Lloyd-Max).
//! 3. `S = |y|^2 / <z, y>`, so that the mean of `S z` over the random signs is `y`.
//!
//! The decoder undoes the rotation of `S z`. The squared error, relative to `|x|^2`, is 0.571, 0.133, 0.0358 and 0.0095
//! with 1 to 4 bits. The errors of clients with different seeds are independent: the error of their mean falls with
//! their number. **Seeds must therefore differ between clients and rounds.**
//!
//! The numbers of all tensors are concatenated and split into blocks whose sizes are powers of two: one per binary
//! digit of their number, 65,536 at most. The last block, of fewer than 256, is zero-padded to a power of two, at least
//! 32.
//!
//! | bytes | what |
//! |---|---|
//! | 4 per block | S, as little-endian `f32` |
//! | 4 per number | the last block as little-endian `f32`, without S, if that takes no more bytes than codes and S |
//! | D bits / 8 per block | codes, the lowest bits of a byte first |
//!
//! A code is the index of `|z|` among the magnitudes, from the smallest; its highest bit is set if `z` is negative.
//!
//! Bit i of `D1` is bit i of the sign stream, and bit i of `D2` is bit D + i; a set bit means a negative sign. The
//! lowest bit of each 32-bit word comes first. The stream of block b is [`flora_core::seed::stream`] with the label
//! `eden/{b}`.

mod blocks;

use flora_core::{hadamard, seed::stream};
use rand::Rng;

use self::blocks::{Block, LARGEST, blocks};
use crate::bits::{BitReader, BitWriter};
use crate::bytes::{Fields, write_scales};
use crate::error::CodecError;

/// The magnitudes of the Lloyd-Max quantisers of the standard normal distribution, by number of bits.
const CENTROIDS: [&[f32]; 4] = [
    &[0.797_884_6],
    &[0.452_780_04, 1.510_417_6],
    &[0.245_094_16, 0.756_005_2, 1.343_909_3, 2.151_945_7],
    &[
        0.128_395_02,
        0.388_048_23,
        0.656_759,
        0.942_340_27,
        1.256_231,
        1.618_046,
        2.069_016_7,
        2.732_588_8,
    ],
];

/// The signs of both rotations, each 1 or -1.
type Signs = [Vec<f32>; 2];

fn signs(seed: u64, block: usize, size: usize) -> Signs {
    let mut rng = stream(seed, &format!("eden/{block}"));
    std::array::from_fn(|_| {
        let words = std::iter::repeat_with(|| rng.next_u32()).take(size / 32);
        let word = |word: u32| (0..32).map(move |at| if word >> at & 1 == 1 { -1.0 } else { 1.0 });
        words.flat_map(word).collect()
    })
}

fn multiply(values: &mut [f32], signs: &[f32]) {
    values.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
}

/// The size in bytes of `total` numbers.
pub(crate) fn byte_len(total: usize, bits: u8) -> usize {
    let (whole, rest) = (total / LARGEST, total % LARGEST);
    whole * Block::Rotated { length: LARGEST, size: LARGEST }.byte_len(bits)
        + blocks(rest, bits).map(|block| block.byte_len(bits)).sum::<usize>()
}

/// The sections of a message. `bits` is 1 to 4.
pub(crate) fn encode(tensors: &[&[f32]], bits: u8, seed: u64) -> Vec<Vec<u8>> {
    let values = tensors.concat();
    let (mut scales, mut raw, mut codes) = (Vec::new(), Vec::new(), BitWriter::default());
    let mut rest = values.as_slice();
    for (at, block) in blocks(values.len(), bits).enumerate() {
        let (values, after) = rest.split_at(block.length());
        rest = after;
        match block {
            Block::Raw { .. } => raw.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Block::Rotated { size, .. } => {
                let mut padded = values.to_vec();
                padded.resize(size, 0.0);
                scales.push(encode_block(padded, bits, &signs(seed, at, size), &mut codes));
            }
        }
    }
    vec![write_scales(scales), raw, codes.finish()]
}

/// Writes the codes, and returns the scale.
fn encode_block(mut values: Vec<f32>, bits: u8, signs: &Signs, codes: &mut BitWriter) -> f32 {
    let size = values.len() as f64;
    let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if most == 0.0 {
        values.iter().for_each(|_| codes.write(0, bits.into()));
        return 0.0;
    }
    // Avoids an overflow of sums of huge numbers, and rounding of subnormal ones.
    values.iter_mut().for_each(|value| *value /= most);
    for signs in signs {
        multiply(&mut values, signs);
        hadamard::transform(&mut values);
    }
    // `values` are D y / most: the applied matrix is sqrt(D) times the orthonormal one.
    let square = |value: &f32| f64::from(*value) * f64::from(*value);
    let norm_squared = values.iter().map(square).sum::<f64>();
    let standard = (size / norm_squared).sqrt() as f32;
    let centroids = CENTROIDS[usize::from(bits) - 1];
    let mut product = 0.0;
    for value in &values {
        let magnitude = (value * standard).abs();
        let above = |pair: &[f32]| usize::from(magnitude > (pair[0] + pair[1]) / 2.0);
        let nearest = centroids.windows(2).map(above).sum::<usize>();
        let sign = u32::from(value.is_sign_negative());
        codes.write(nearest as u32 | sign << (bits - 1), bits.into());
        product += f64::from(centroids[nearest]) * f64::from(value.abs());
    }
    let scale = norm_squared / (size * product) * f64::from(most);
    scale.min(f32::MAX.into()) as f32
}

/// Decodes the tensors.
///
/// # Errors
/// [`CodecError::Length`] and [`CodecError::Damaged`].
pub(crate) fn decode(
    fields: &mut Fields<'_>,
    lengths: &[usize],
    bits: u8,
    seed: u64,
) -> Result<Vec<Vec<f32>>, CodecError> {
    let total = lengths.iter().sum();
    let rotated = |block: &Block| matches!(block, Block::Rotated { .. });
    let scales = fields.scales(blocks(total, bits).filter(rotated).count())?;
    let raw = blocks(total, bits).filter(|block| !rotated(block)).map(Block::length).sum::<usize>();
    let raw = fields.take(4 * raw)?.as_chunks().0;
    let mut scales = scales.into_iter();
    let mut values = Vec::new();
    for (at, block) in blocks(total, bits).enumerate() {
        match block {
            Block::Raw { .. } => values.extend(raw.iter().copied().map(f32::from_le_bytes)),
            Block::Rotated { length, size } => {
                let codes = fields.take(size / 8 * usize::from(bits))?;
                let scale = scales.next().expect("as many as blocks");
                let block = decode_block(codes, scale, bits, &signs(seed, at, size))?;
                values.extend_from_slice(&block[..length]);
            }
        }
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(CodecError::Damaged("a number is NaN or infinite"));
    }
    let mut rest = values.as_slice();
    let tensor = |&length: &usize| {
        let (tensor, after) = rest.split_at(length);
        rest = after;
        tensor.to_vec()
    };
    Ok(lengths.iter().map(tensor).collect())
}

fn decode_block(codes: &[u8], scale: f32, bits: u8, signs: &Signs) -> Result<Vec<f32>, CodecError> {
    let size = signs[0].len();
    if scale == 0.0 {
        return Ok(vec![0.0; size]);
    }
    let centroids = CENTROIDS[usize::from(bits) - 1];
    let mut reader = BitReader::new(codes);
    let mut values = Vec::with_capacity(size);
    for _ in 0..size {
        let code = reader.read(bits.into())? as usize;
        let magnitude = centroids[code % centroids.len()];
        values.push(if code >= centroids.len() { -magnitude } else { magnitude });
    }
    for signs in signs.iter().rev() {
        hadamard::transform(&mut values);
        multiply(&mut values, signs);
    }
    // In double precision, too, the number is at most the largest finite single-precision number.
    let scale = f64::from(scale) / size as f64;
    let most = f64::from(f32::MAX);
    let scaled = |value: f32| (f64::from(value) * scale).clamp(-most, most) as f32;
    Ok(values.into_iter().map(scaled).collect())
}
