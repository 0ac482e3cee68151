//! Codecs and tensors for the tests.

#![allow(dead_code, unreachable_pub)]

use flora_compression::{Codec, Values};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};

pub fn codecs() -> Vec<Codec> {
    let mut codecs = vec![Codec::F32, Codec::F16, Codec::Bf16, Codec::Int8, Codec::Int4];
    codecs.extend((1..=4).map(|bits| Codec::Eden { bits }));
    for density in [0.02, 0.1, 0.6, 1.0] {
        let of = [Values::F32, Values::F16, Values::Int8, Values::Int4];
        codecs.extend(of.map(|values| Codec::TopK { density, values }));
        codecs.push(Codec::Ternary { density });
    }
    codecs
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    StandardNormal.sample_iter(rng(seed)).take(count).collect()
}

/// The values of the paper's preset: 16 tensors of 1,536.
pub fn preset(seed: u64) -> Vec<Vec<f32>> {
    gaussian(24_576, seed).chunks(1_536).map(<[f32]>::to_vec).collect()
}

pub fn slices(tensors: &[Vec<f32>]) -> Vec<&[f32]> {
    tensors.iter().map(Vec::as_slice).collect()
}

pub fn lengths(tensors: &[Vec<f32>]) -> Vec<usize> {
    tensors.iter().map(Vec::len).collect()
}

/// Encodes and decodes.
pub fn pass(codec: Codec, tensors: &[Vec<f32>], seed: u64) -> Vec<Vec<f32>> {
    let bytes = codec.encode(&slices(tensors), seed, &mut rng(seed)).unwrap();
    codec.decode(&bytes, &lengths(tensors), seed).unwrap()
}

/// The squared error relative to the squared norm of `expected`.
pub fn nmse(expected: &[f32], found: &[f32]) -> f64 {
    let square = |value: f64| value * value;
    let error = expected.iter().zip(found).map(|(a, b)| square(f64::from(*a) - f64::from(*b)));
    error.sum::<f64>() / expected.iter().map(|a| square(f64::from(*a))).sum::<f64>()
}
