//! Damaged and hostile messages are rejected.

mod common;

use common::{codecs, gaussian, lengths, rng, slices};
use flora_compression::{Codec, CodecError, Values};
use rand_chacha::rand_core::Rng;

/// Several tensors, small enough to try every byte.
fn tensors() -> Vec<Vec<f32>> {
    let mut tensors = vec![gaussian(300, 1), vec![], gaussian(40, 2)];
    // Compresses well.
    tensors.push(vec![0.5; 200]);
    tensors
}

/// Any accepted message decodes to tensors of the right form.
fn check(codec: Codec, message: &[u8], lengths: &[usize]) -> bool {
    match codec.decode(message, lengths, 1) {
        Ok(found) => {
            assert_eq!(common::lengths(&found), lengths);
            assert!(found.iter().flatten().all(|value| value.is_finite()), "{codec:?}");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("the message"), "{error}");
            false
        }
    }
}

#[test]
fn cut_and_longer_messages_are_refused() {
    let tensors = tensors();
    for codec in codecs() {
        let bytes = codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
        for length in 0..bytes.len() {
            assert!(!check(codec, &bytes[..length], &lengths(&tensors)), "{codec:?} {length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(!check(codec, &longer, &lengths(&tensors)), "{codec:?}");
        for lengths in [&[300, 0, 40][..], &[300, 0, 40, 400], &[]] {
            assert!(!check(codec, &bytes, lengths), "{codec:?} {lengths:?}");
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let tensors = tensors();
    for codec in codecs() {
        let mut bytes = codec.encode(&slices(&tensors), 1, &mut rng(1)).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            check(codec, &bytes, &lengths(&tensors));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = rng(7);
    for codec in codecs() {
        for _ in 0..2_000 {
            let mut bytes = vec![0; random.next_u32() as usize % 200];
            random.fill_bytes(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first &= 1;
            }
            check(codec, &bytes, &[30, 0, 10]);
        }
    }
}

#[test]
fn scales_must_be_finite_and_not_negative() {
    for scale in [f32::NAN, f32::INFINITY, -1.0] {
        let message = [&[0][..], &scale.to_le_bytes(), &[1; 8]].concat();
        for (codec, length) in
            [(Codec::Int8, 8), (Codec::Int4, 16), (Codec::Eden { bits: 2 }, 32), (Codec::F32, 3)]
        {
            let found = codec.decode(&message, &[length], 1);
            let refused = matches!(found, Err(CodecError::Damaged(_)));
            assert!(refused || codec == Codec::F32, "{codec:?} {scale}: {found:?}");
        }
    }
    // Codes that no encoder writes.
    let message = [&[0][..], &1.0_f32.to_le_bytes(), &[0x80]].concat();
    assert!(Codec::Int8.decode(&message, &[1], 1).is_err());
    let message = [&[0][..], &1.0_f32.to_le_bytes(), &[0xff]].concat();
    assert!(Codec::Int4.decode(&message, &[2], 1).is_err());
}

/// Each of these would take terabytes if lengths were trusted before the message has been checked.
#[test]
fn lengths_beyond_the_message_take_no_memory() {
    let huge = 1_usize << 45;
    let dense = [Codec::F32, Codec::F16, Codec::Bf16, Codec::Int8, Codec::Int4];
    let sparse =
        [Codec::TopK { density: 0.1, values: Values::Int8 }, Codec::Ternary { density: 0.05 }];
    let eden = (1..=4).map(|bits| Codec::Eden { bits });
    for codec in dense.into_iter().chain(sparse).chain(eden) {
        let bytes = codec.encode(&[&gaussian(1_000, 1)], 1, &mut rng(1)).unwrap();
        let zeros = codec.encode(&[&[0.0; 1_000]], 1, &mut rng(1)).unwrap();
        for message in [&bytes, &zeros] {
            for lengths in [&[huge][..], &[huge; 3], &[1, huge]] {
                assert!(codec.decode(message, lengths, 1).is_err(), "{codec:?}");
            }
            for lengths in [&[usize::MAX][..], &[usize::MAX, 2], &[usize::MAX / 2; 3]] {
                assert_eq!(codec.decode(message, lengths, 1), Err(CodecError::TooLarge));
            }
        }
    }
}
