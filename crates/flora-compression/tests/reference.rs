//! Messages that `fixtures/make_fixture.py` created without this crate.

mod common;

use common::{rng, slices};
use flora_compression::Codec;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    codec: Codec,
    shared: u64,
    lengths: Vec<usize>,
    /// The encoded values; empty if the encoder rounds at random.
    values: Vec<f32>,
    /// Hexadecimal, before the lossless stage.
    plain: String,
    /// Compressed by zlib.
    deflate: String,
    decoded: Vec<f32>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn messages_of_others_are_read() {
    for Case { codec, shared, lengths, plain, deflate, decoded, .. } in cases() {
        for (tag, message) in [(0, bytes(&plain)), (1, bytes(&deflate))] {
            let found = codec.decode(&[&[tag][..], &message].concat(), &lengths, shared).unwrap();
            assert_eq!(common::lengths(&found), lengths);
            let found = found.concat();
            match codec {
                Codec::Eden { .. } => {
                    let off = common::nmse(&decoded, &found);
                    assert!(off < 1e-12, "{codec:?} {lengths:?}: {off}");
                }
                _ => assert_eq!(found, decoded, "{codec:?}"),
            }
        }
    }
}

#[test]
fn messages_are_those_of_others() {
    for case in cases().into_iter().filter(|case| !case.values.is_empty()) {
        let mut rest = case.values.as_slice();
        let tensor = |length: &usize| rest.split_off(..*length).unwrap().to_vec();
        let tensors: Vec<Vec<f32>> = case.lengths.iter().map(tensor).collect();
        let message = case.codec.encode(&slices(&tensors), case.shared, &mut rng(1)).unwrap();
        let found = match message[0] {
            0 => message[1..].to_vec(),
            _ => miniz_oxide::inflate::decompress_to_vec(&message[1..]).unwrap(),
        };
        let plain = bytes(&case.plain);
        let scales = match case.codec {
            // One per block: the first two, or one, and with one bit the third.
            Codec::Eden { bits } if case.lengths[0] == 512 => 2 + usize::from(bits == 1),
            Codec::Eden { .. } => 1,
            _ => 0,
        };
        let (found_scales, found) = found.split_at(4 * scales);
        let (plain_scales, plain) = plain.split_at(4 * scales);
        assert_eq!(found, plain, "{:?} {:?}", case.codec, case.lengths);
        for (found, expected) in found_scales.as_chunks().0.iter().zip(plain_scales.as_chunks().0) {
            // Computed with a rotation in single precision.
            let (found, expected) = (f32::from_le_bytes(*found), f32::from_le_bytes(*expected));
            assert!((found / expected - 1.0).abs() < 1e-6, "{:?}: {found} {expected}", case.codec);
        }
    }
}
