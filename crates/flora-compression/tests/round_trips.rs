//! Decoded values equal the encoded ones, within the error of the codec.

mod common;

use common::{codecs, gaussian, lengths, nmse, pass, preset, rng, slices};
use flora_compression::{Codec, CodecError, Values};

/// The maximum error of a value relative to the largest magnitude of all tensors: a bound for all inputs.
fn most_off(codec: Codec) -> f64 {
    match codec {
        Codec::F32 => 0.0,
        Codec::F16 => 1.0 / 2048.0,
        Codec::Bf16 => 1.0 / 256.0,
        Codec::Int8 => 1.0 / 127.0,
        Codec::Int4 => 1.0 / 7.0,
        // A value that is not sent is off by its own size.
        Codec::TopK { .. } | Codec::Ternary { .. } => 1.0,
        // The error of a block can be concentrated in one value.
        _ => 10.0,
    }
}

#[test]
fn tensors_of_any_shape_and_size_come_back() {
    let constant = |value: f32, count| vec![value; count];
    let cases: Vec<Vec<Vec<f32>>> = vec![
        vec![],
        vec![vec![]],
        vec![vec![], vec![1.5], vec![]],
        vec![vec![-0.25]],
        vec![constant(0.125, 700), constant(-3.0, 31), constant(0.5, 33)],
        preset(1),
        vec![gaussian(5_000, 2), gaussian(1, 3), vec![], gaussian(255, 4)],
    ];
    for codec in codecs() {
        for tensors in &cases {
            let found = pass(codec, tensors, 5);
            assert_eq!(lengths(tensors), lengths(&found), "{codec:?}");
            let largest = tensors.iter().flatten().fold(0.0_f32, |most, it| most.max(it.abs()));
            for (value, found) in tensors.iter().flatten().zip(found.iter().flatten()) {
                let off = f64::from((value - found).abs()) / f64::from(largest);
                assert!(off <= most_off(codec) * 1.0001, "{codec:?}: {value} {found}");
            }
        }
    }
}

#[test]
fn zeros_stay_zero() {
    let tensors = [vec![0.0; 3_000], vec![], vec![0.0], vec![0.0; 65]];
    for codec in codecs() {
        let bytes = codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
        assert!(bytes.len() < 250, "{codec:?}: {}", bytes.len());
        assert_eq!(codec.decode(&bytes, &lengths(&tensors), 1).unwrap(), tensors, "{codec:?}");
    }
}

#[test]
fn single_precision_keeps_every_bit() {
    let tensors = [vec![0.1, -0.0, 1e-45, f32::MAX, f32::MIN_POSITIVE], gaussian(500, 1)];
    let found = pass(Codec::F32, &tensors, 1);
    let bits = |tensors: &[Vec<f32>]| {
        tensors.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&found), bits(&tensors));
}

#[test]
fn huge_and_subnormal_numbers_have_codes() {
    for scale in [1e-45, 3e-43, 1e-39, 1e-30, 1e30, 3e37_f32] {
        let tensors = [gaussian(700, 9), gaussian(300, 10)]
            .map(|tensor| tensor.into_iter().map(|value| value * scale).collect::<Vec<f32>>());
        for codec in codecs() {
            let half = [Codec::F16].contains(&codec)
                || matches!(codec, Codec::TopK { values: Values::F16, .. });
            if half {
                let encoded = codec.encode(&slices(&tensors), 1, &mut rng(1));
                assert_eq!(encoded.is_err(), scale > 1.0);
                continue;
            }
            let found = pass(codec, &tensors, 1);
            if scale >= 1e-39 && !codec.is_sparse() {
                let error = nmse(&tensors.concat(), &found.concat());
                assert!(error < 0.6, "{codec:?} {scale}: {error}");
            }
        }
    }
    // At the end of the range, results stay finite.
    let most = [vec![f32::MAX; 300], vec![-f32::MAX, 1.0]];
    for codec in codecs().into_iter().filter(|it| ["eden", "int8", "int4"].contains(&it.name())) {
        let found = pass(codec, &most, 3);
        assert!(found.iter().flatten().all(|value| value.is_finite()), "{codec:?}");
    }
}

#[test]
fn the_largest_magnitudes_are_sent() {
    let tensors = preset(3);
    let top = |values| Codec::TopK { density: 0.1, values };
    let exact = pass(top(Values::F32), &tensors, 1);
    for (tensor, found) in tensors.iter().zip(&exact) {
        let mut magnitudes: Vec<f32> = tensor.iter().map(|value| value.abs()).collect();
        magnitudes.sort_by(f32::total_cmp);
        // 1,536 * 0.1, rounded.
        let least = magnitudes[1_536 - 154];
        for (value, found) in tensor.iter().zip(found) {
            assert_eq!(*found, if value.abs() >= least { *value } else { 0.0 });
        }
    }
    let sent = |tensors: &[Vec<f32>]| -> Vec<usize> {
        let zero = |tensor: &Vec<f32>| tensor.iter().filter(|value| **value != 0.0).count();
        tensors.iter().map(zero).collect()
    };
    assert_eq!(sent(&exact), [154; 16]);
    assert_eq!(sent(&pass(Codec::Ternary { density: 0.05 }, &tensors, 1)), [77; 16]);
    assert!(nmse(&exact.concat(), &pass(top(Values::Int8), &tensors, 1).concat()) < 1e-4);
}

#[test]
fn the_decoder_needs_the_seed_of_the_encoder() {
    let tensors = preset(4);
    let codec = Codec::Eden { bits: 4 };
    let bytes = codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
    let other = codec.decode(&bytes, &lengths(&tensors), 2).unwrap();
    assert!(nmse(&tensors.concat(), &other.concat()) > 1.0);
    // Only integer codecs draw from the other stream.
    assert_eq!(bytes, codec.encode(&slices(&tensors), 1, &mut rng(2)).unwrap());
}

#[test]
fn what_cannot_be_encoded_is_named() {
    let encode = |codec: Codec, values: &[f32]| {
        codec.encode(&[&[0.0], values], 1, &mut rng(1)).unwrap_err().to_string()
    };
    for codec in codecs() {
        let error = encode(codec, &[1.0, f32::NAN]);
        assert_eq!(error, "tensor 1 holds NaN at flat index 1; only finite values can be encoded");
        assert!(encode(codec, &[f32::NEG_INFINITY]).contains("-inf"));
    }
    let error = encode(Codec::F16, &[1.0, 70_000.0]);
    assert_eq!(error, "tensor 1 holds 70000, but f16 ends at 65504; choose bf16, int8 or f32");
    assert!(encode(Codec::Bf16, &[f32::MAX]).contains("choose int8 or f32"));
    let none = Codec::Eden { bits: 0 }.encode(&[], 1, &mut rng(1));
    assert!(matches!(none, Err(CodecError::Setting(message)) if message.starts_with("bits: ")));
    assert!(Codec::Ternary { density: 2.0 }.decode(&[0], &[], 1).is_err());
}
