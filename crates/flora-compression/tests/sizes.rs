//! Bytes and times for 24,576 numbers in 16 tensors of 1,536.

mod common;

use std::time::Instant;

use common::{codecs, gaussian, lengths, preset, rng, slices};
use flora_compression::{Codec, Values};

#[test]
fn messages_are_small() {
    let top = |density, values| Codec::TopK { density, values };
    for (codec, most) in [
        (Codec::F32, 98_305),
        (Codec::F16, 49_153),
        (Codec::Bf16, 49_153),
        (Codec::Int8, 24_700),
        (Codec::Int4, 12_400),
        (Codec::Eden { bits: 1 }, 3_200),
        (Codec::Eden { bits: 2 }, 6_300),
        (Codec::Eden { bits: 3 }, 9_300),
        (Codec::Eden { bits: 4 }, 12_300),
        (top(0.25, Values::Int8), 8_700),
        (top(0.1, Values::Int8), 4_100),
        (top(0.05, Values::Int8), 2_300),
        (Codec::Ternary { density: 0.1 }, 1_900),
        (Codec::Ternary { density: 0.05 }, 1_150),
    ] {
        for seed in 0..3 {
            let bytes = codec.encode(&slices(&preset(seed)), seed, &mut rng(seed)).unwrap();
            println!("{codec:?}: {}", bytes.len());
            assert!(bytes.len() <= most, "{codec:?}: {}", bytes.len());
        }
    }
}

/// A message is never longer than the plain one plus its first byte.
#[test]
fn messages_have_a_bound() {
    for count in [1, 2, 31, 100, 1_000] {
        let tensors = [gaussian(count, 1)];
        for codec in codecs() {
            let most = match codec {
                Codec::F32 => 4 * count,
                Codec::F16 | Codec::Bf16 => 2 * count,
                Codec::Int8 => 4 + count,
                Codec::Int4 => 4 + count.div_ceil(2),
                // A last block of up to 32 numbers, or of up to twice its numbers.
                Codec::Eden { bits } => 32 + 2 * (count * usize::from(bits)).div_ceil(8),
                _ => 5 + count.div_ceil(8) + 4 * count,
            };
            let bytes = codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
            assert!(bytes.len() <= 1 + most, "{codec:?}, {count}: {}", bytes.len());
        }
    }
}

#[test]
#[ignore = "measures; run with --nocapture"]
fn times() {
    let tensors = preset(1);
    let least = |work: &mut dyn FnMut()| {
        let times = (0..30).map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        });
        times.min().unwrap()
    };
    for codec in codecs() {
        let encode = || codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
        let bytes = encode();
        let to = least(&mut || drop(encode()));
        let from = least(&mut || drop(codec.decode(&bytes, &lengths(&tensors), 1).unwrap()));
        println!("{codec:?}: {} bytes, encode {to:?}, decode {from:?}", bytes.len());
    }
}
