//! Lanes of fewer than 32 bits: how wide they are, their bytes, and their part of a mask.
//!
//! The lanes of `n` clients add up to at most `n` times the largest lane, so `log2` of that, rounded up, is the width
//! at which sums never wrap: masks are added modulo `2^width`. On the wire lanes follow each other bit by bit, the
//! lowest first, to the next whole byte; then the weight's lane, which has a width of its own, in bytes of its own. The
//! unused bits of both are zero. A mask takes the same bytes of its stream, so that no bit is drawn in vain.

use crate::crypto::{Key, Sign, Stream};

/// How the lanes of a setup travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Lanes of values.
    length: usize,
    /// Bits of a value's lane.
    value: u32,
    /// Bits of the weight's lane.
    weight: u32,
}

/// The fewest bits that hold all numbers up to `most`.
pub(crate) fn width(most: u64) -> u32 {
    most.max(1).ilog2() + 1
}

/// The bytes of a stream that are made at a time: the lanes of as many, whatever their width.
const LANES: usize = 1024;
/// The longest piece, and the bytes that a lane at its end reads beyond it.
const PIECE: usize = LANES / 8 * 32 + 8;

impl Layout {
    /// Of `length` values with sums up to `value`, and weights with sums up to `weight`; both below `2^32`.
    pub(crate) fn new(length: usize, value: u64, weight: u64) -> Self {
        Self { length, value: width(value), weight: width(weight) }
    }

    /// Bits of a value's lane.
    pub(crate) fn bits(&self) -> u32 {
        self.value
    }

    /// Bytes of the values' lanes, and of the weight's.
    fn bytes(&self) -> (usize, usize) {
        // The length is at most 2^28.
        (bytes(self.length, self.value), bytes(1, self.weight))
    }

    /// Bytes of all lanes.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes().0 + self.bytes().1
    }

    /// The lanes' residues.
    pub(crate) fn reduce(&self, lanes: &mut [u32]) {
        let (weight, values) = lanes.split_last_mut().expect("the lane of the weight");
        values.iter_mut().for_each(|lane| *lane &= ones(self.value));
        *weight &= ones(self.weight);
    }

    /// The bytes of lanes, of each of which the lowest bits are taken.
    pub(crate) fn pack(&self, lanes: &[u32]) -> Vec<u8> {
        debug_assert_eq!(lanes.len(), self.length + 1);
        let (weight, values) = lanes.split_last().expect("the lane of the weight");
        let mut out = Vec::with_capacity(self.byte_len() + 8);
        write(&mut out, values, self.value);
        write(&mut out, &[*weight], self.weight);
        out
    }

    /// The lanes of bytes.
    ///
    /// # Errors
    ///
    /// Bytes of another number, and unused bits that are set: lanes have one form.
    pub(crate) fn unpack(&self, packed: &[u8]) -> Result<Vec<u32>, String> {
        if packed.len() != self.byte_len() {
            return Err(format!(
                "{} bytes of lanes, and {} are due",
                packed.len(),
                self.byte_len()
            ));
        }
        let (values, weight) = packed.split_at(self.bytes().0);
        let spare = |bytes: &[u8], count: usize, width: u32| {
            let used = (count * width as usize) % 8;
            used != 0 && bytes.last().is_some_and(|last| last >> used != 0)
        };
        if spare(values, self.length, self.value) || spare(weight, 1, self.weight) {
            return Err("bits beyond the last lane are set".to_owned());
        }
        let mut lanes = vec![0; self.length + 1];
        let mut piece = [0; PIECE];
        let (last, lanes_of_values) = lanes.split_last_mut().expect("the lane of the weight");
        for (lanes, bytes) in
            lanes_of_values.chunks_mut(LANES).zip(values.chunks(bytes(LANES, self.value)))
        {
            piece[..bytes.len()].copy_from_slice(bytes);
            each(lanes, &piece, self.value, |lane, part| *lane = part);
        }
        piece[..weight.len()].copy_from_slice(weight);
        each(std::slice::from_mut(last), &piece, self.weight, |lane, part| *lane = part);
        Ok(lanes)
    }

    /// Adds the mask of `key` to the lanes, or subtracts it. Of the result the lowest bits count, as
    /// [`pack`](Self::pack) takes them.
    pub(crate) fn mask(&self, lanes: &mut [u32], key: &Key, sign: Sign) {
        debug_assert_eq!(lanes.len(), self.length + 1);
        let mut stream = Stream::<PIECE>::new(key);
        let (weight, values) = lanes.split_last_mut().expect("the lane of the weight");
        let mut add = |lanes: &mut [u32], width: u32| {
            let piece = stream.next(bytes(lanes.len(), width));
            match sign {
                Sign::Plus => {
                    each(lanes, piece, width, |lane, part| *lane = lane.wrapping_add(part))
                }
                Sign::Minus => {
                    each(lanes, piece, width, |lane, part| *lane = lane.wrapping_sub(part))
                }
            }
        };
        values.chunks_mut(LANES).for_each(|lanes| add(lanes, self.value));
        add(std::slice::from_mut(weight), self.weight);
    }
}

/// The lowest bits, set.
fn ones(width: u32) -> u32 {
    u32::MAX >> (32 - width)
}

fn bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Calls `change` with each lane and its part of the bits.
#[inline(always)]
fn each(lanes: &mut [u32], bits: &[u8; PIECE], width: u32, change: impl Fn(&mut u32, u32)) {
    let ones = ones(width);
    for (at, lane) in lanes.iter_mut().enumerate() {
        let bit = at * width as usize;
        let word = bits[bit / 8..].first_chunk().expect("a piece ends with eight spare bytes");
        change(lane, (u64::from_le_bytes(*word) >> (bit % 8)) as u32 & ones);
    }
}

/// Appends the lowest `width` bits of each lane, and zeros to the next byte.
fn write(out: &mut Vec<u8>, lanes: &[u32], width: u32) {
    let (mut pending, mut count) = (0_u64, 0);
    for lane in lanes {
        pending |= u64::from(lane & ones(width)) << count;
        count += width;
        if count >= 32 {
            out.extend_from_slice(&(pending as u32).to_le_bytes());
            pending >>= 32;
            count -= 32;
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..(count as usize).div_ceil(8)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto;
    use zeroize::Zeroizing;

    fn lanes(layout: &Layout, from: u32) -> Vec<u32> {
        let number = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) ^ from;
        let mut lanes: Vec<u32> = (0..=layout.length).map(number).collect();
        layout.reduce(&mut lanes);
        lanes
    }

    #[test]
    fn widths_are_the_fewest_that_hold_the_sum() {
        for (most, bits) in
            [(0, 1), (1, 1), (2, 2), (140, 8), (255, 8), (256, 9), (2540, 12), ((1 << 32) - 1, 32)]
        {
            assert_eq!(width(most), bits, "{most}");
        }
    }

    #[test]
    fn lanes_of_all_widths_come_back_and_have_one_form() {
        for length in [1, 2, 7, 8, 9, 1023, 1024, 1025, 3000] {
            for bits in 1..=32_u32 {
                let layout = Layout { length, value: bits, weight: 33 - bits };
                let lanes = lanes(&layout, bits);
                let packed = layout.pack(&lanes);
                assert_eq!(packed.len(), layout.byte_len());
                assert_eq!(
                    packed.len(),
                    (length * bits as usize).div_ceil(8) + (33 - bits as usize).div_ceil(8)
                );
                assert_eq!(layout.unpack(&packed).unwrap(), lanes);
                assert!(layout.unpack(&packed[1..]).unwrap_err().contains("are due"));
                assert!(layout.unpack(&[&packed[..], &[0]].concat()).is_err());
                // Every bit is that of a lane, or refused.
                for bit in (0..8 * packed.len()).rev().take(80) {
                    let mut other = packed.clone();
                    other[bit / 8] ^= 1 << (bit % 8);
                    match layout.unpack(&other) {
                        Ok(found) => {
                            assert_ne!(found, lanes);
                            assert_eq!(layout.pack(&found), other);
                        }
                        Err(problem) => assert!(problem.contains("beyond the last lane")),
                    }
                }
            }
        }
    }

    /// By the definition, a bit at a time.
    #[test]
    fn masks_are_the_stream_bit_by_bit() {
        let key: Key = Zeroizing::new([7; 32]);
        for length in [1, 5, 1024, 2500] {
            for (value, weight) in [(1, 32), (3, 17), (8, 8), (12, 20), (13, 1), (31, 9), (32, 32)]
            {
                let layout = Layout { length, value, weight };
                // As words of 32 bits, whose masks have tests of their own.
                let mut words = vec![0; layout.byte_len().div_ceil(4)];
                crypto::mask(&mut words, &key, Sign::Plus);
                let stream: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                let part = |from: usize, width: u32| {
                    (0..width as usize).fold(0_u32, |sum, i| {
                        let bit = from + i;
                        sum | u32::from(stream[bit / 8] >> (bit % 8) & 1) << i
                    })
                };
                let mut masked = vec![0; length + 1];
                layout.mask(&mut masked, &key, Sign::Plus);
                for (lane, found) in masked[..length].iter().enumerate() {
                    assert_eq!(*found, part(lane * value as usize, value));
                }
                let begin = (length * value as usize).div_ceil(8);
                assert_eq!(masked[length], part(8 * begin, weight));
                // Both signs cancel out, modulo the width.
                let plain = lanes(&layout, 9);
                let mut masked = plain.clone();
                layout.mask(&mut masked, &key, Sign::Minus);
                layout.reduce(&mut masked);
                assert_ne!(masked, plain);
                layout.mask(&mut masked, &key, Sign::Plus);
                layout.reduce(&mut masked);
                assert_eq!(masked, plain);
            }
        }
    }
}
