//! Dense number formats: floats in byte planes, and integers with scales.
//!
//! The numbers of all tensors are concatenated.
//!
//! | format | bytes | contents |
//! |---|---|---|
//! | f32, f16, bf16 | 4 N or 2 N | the highest byte of each number, then the next byte of each, and so on |
//! | int8, int4 | 4 per block | the largest magnitude of each block, as little-endian `f32` |
//! | int8 | N | codes from -127 to 127, in two's complement |
//! | int4 | N / 2, rounded up | codes from -7 to 7 with 7 added, the first of each two in the lower half of the byte |
//!
//! Planes compress better than whole numbers, because the exponents are adjacent: bf16 shrinks from 38,257 to 35,443
//! bytes for 24,576 Gaussian numbers, f32 from 90,897 to 85,394.
//!
//! **Integers** are rounded up or down at random, so that the mean of the decoded values is the number (stochastic
//! rounding; QSGD, [arXiv 1610.02132](https://arxiv.org/abs/1610.02132), with the largest magnitude instead of the
//! norm): a code is `floor(x / step + u)` with `step = range / 127` or `range / 7` and `u` uniform in `[0, 1)`. A block
//! is a tensor, or 4,096 numbers of it. A single scale for a tensor of 262,144 Gaussian numbers would have 1.4 times
//! the squared error.

use half::{bf16, f16};
use rand::Rng;

use crate::bytes::{Fields, write_scales};
use crate::error::CodecError;

/// The maximum number of values that share a scale.
const BLOCK: usize = 4096;

/// A format for dense numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Numbers {
    F32,
    F16,
    Bf16,
    Int8,
    Int4,
}

impl Numbers {
    /// The sections of a message.
    ///
    /// # Errors
    /// [`CodecError::Range`].
    pub(crate) fn encode(
        self,
        tensors: &[&[f32]],
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Vec<Vec<u8>>, CodecError> {
        match self {
            Self::F32 => planes(tensors, |value| Some(value.to_le_bytes()), ("f32", f32::MAX, "")),
            Self::F16 => {
                let half = |value| Some(f16::from_f32(value)).filter(|it| it.is_finite());
                let limits = ("f16", f16::MAX.to_f32(), "bf16, int8 or f32");
                planes(tensors, |value| half(value).map(f16::to_le_bytes), limits)
            }
            Self::Bf16 => {
                let half = |value| Some(bf16::from_f32(value)).filter(|it| it.is_finite());
                let limits = ("bf16", bf16::MAX.to_f32(), "int8 or f32");
                planes(tensors, |value| half(value).map(bf16::to_le_bytes), limits)
            }
            Self::Int8 | Self::Int4 => Ok(self.quantise(tensors, rng)),
        }
    }

    /// Decodes the tensors.
    ///
    /// # Errors
    /// [`CodecError::Length`] and [`CodecError::Damaged`].
    pub(crate) fn decode(
        self,
        fields: &mut Fields<'_>,
        lengths: &[usize],
    ) -> Result<Vec<Vec<f32>>, CodecError> {
        match self {
            Self::F32 => from_planes(fields, lengths, f32::from_le_bytes),
            Self::F16 => from_planes(fields, lengths, |it| f16::from_le_bytes(it).to_f32()),
            Self::Bf16 => from_planes(fields, lengths, |it| bf16::from_le_bytes(it).to_f32()),
            Self::Int8 | Self::Int4 => self.dequantise(fields, lengths),
        }
    }

    /// The size in bytes of tensors of these lengths.
    pub(crate) fn byte_len(self, lengths: &[usize]) -> usize {
        let total = lengths.iter().sum::<usize>();
        let scales = || lengths.iter().map(|length| 4 * length.div_ceil(BLOCK)).sum::<usize>();
        match self {
            Self::F32 => 4 * total,
            Self::F16 | Self::Bf16 => 2 * total,
            Self::Int8 => scales() + total,
            Self::Int4 => scales() + total.div_ceil(2),
        }
    }

    /// The largest code.
    fn levels(self) -> f64 {
        if self == Self::Int4 { 7.0 } else { 127.0 }
    }

    fn quantise(self, tensors: &[&[f32]], rng: &mut (impl Rng + ?Sized)) -> Vec<Vec<u8>> {
        let levels = self.levels();
        let (mut ranges, mut codes) = (Vec::new(), Vec::<i8>::new());
        for block in tensors.iter().flat_map(|tensor| tensor.chunks(BLOCK)) {
            let range = block.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            ranges.push(range);
            // In double precision, even subnormal ranges have a finite reciprocal.
            let per_step = if range > 0.0 { levels / f64::from(range) } else { 0.0 };
            codes.extend(block.iter().map(|&value| {
                let uniform = f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
                let code = (f64::from(value) * per_step + uniform).floor();
                code.clamp(-levels, levels) as i8
            }));
        }
        let codes = match self {
            Self::Int4 => {
                let half = |code: &i8| (code + 7) as u8;
                let byte = |two: &[i8]| half(&two[0]) | two.get(1).map_or(0, half) << 4;
                codes.chunks(2).map(byte).collect()
            }
            _ => codes.into_iter().map(i8::cast_unsigned).collect(),
        };
        vec![write_scales(ranges), codes]
    }

    fn dequantise(
        self,
        fields: &mut Fields<'_>,
        lengths: &[usize],
    ) -> Result<Vec<Vec<f32>>, CodecError> {
        let total = lengths.iter().sum::<usize>();
        let blocks = lengths.iter().map(|length| length.div_ceil(BLOCK)).sum();
        let ranges = fields.scales(blocks)?;
        let codes: Vec<i8> = match self {
            Self::Int4 => {
                let bytes = fields.take(total.div_ceil(2))?;
                let halves = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]);
                halves.take(total).map(|half| half.cast_signed() - 7).collect()
            }
            _ => fields.take(total)?.iter().map(|byte| byte.cast_signed()).collect(),
        };
        let levels = self.levels();
        let (mut codes, mut ranges) = (codes.as_slice(), ranges.iter());
        let mut tensors = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let mut tensor = Vec::with_capacity(length);
            let (of_tensor, rest) = codes.split_at(length);
            codes = rest;
            for (block, &range) in of_tensor.chunks(BLOCK).zip(&mut ranges) {
                let step = f64::from(range) / levels;
                if block.iter().any(|&code| f64::from(code).abs() > levels) {
                    return Err(CodecError::Damaged("a code is out of range"));
                }
                tensor.extend(block.iter().map(|&code| (f64::from(code) * step) as f32));
            }
            tensors.push(tensor);
        }
        Ok(tensors)
    }
}

/// The bytes of the numbers in planes, the highest bytes of all numbers first. `convert` returns `None` for numbers out
/// of range.
fn planes<const WIDTH: usize>(
    tensors: &[&[f32]],
    convert: impl Fn(f32) -> Option<[u8; WIDTH]>,
    (format, most, instead): (&'static str, f32, &'static str),
) -> Result<Vec<Vec<u8>>, CodecError> {
    let total = tensors.iter().map(|tensor| tensor.len()).sum();
    let mut planes = vec![Vec::with_capacity(total); WIDTH];
    for (tensor, values) in tensors.iter().enumerate() {
        for &value in *values {
            let beyond = || CodecError::Range { tensor, value, format, most, instead };
            let bytes = convert(value).ok_or_else(beyond)?;
            for (plane, byte) in planes.iter_mut().rev().zip(bytes) {
                plane.push(byte);
            }
        }
    }
    Ok(planes)
}

fn from_planes<const WIDTH: usize>(
    fields: &mut Fields<'_>,
    lengths: &[usize],
    convert: impl Fn([u8; WIDTH]) -> f32,
) -> Result<Vec<Vec<f32>>, CodecError> {
    let total = lengths.iter().sum::<usize>();
    let bytes = fields.take(WIDTH * total)?;
    let number =
        |at: usize| convert(std::array::from_fn(|byte| bytes[(WIDTH - 1 - byte) * total + at]));
    let mut start = 0;
    let mut tensors = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let tensor: Vec<f32> = (start..start + length).map(number).collect();
        if !tensor.iter().all(|value| value.is_finite()) {
            return Err(CodecError::Damaged("a number is NaN or infinite"));
        }
        tensors.push(tensor);
        start += length;
    }
    Ok(tensors)
}
