//! A random rotation that all clients of a setup share, so that few bits are enough for each coordinate.
//!
//! After the rotation, all coordinates of an update have about the same distribution: normal, with a standard deviation
//! of `norm / sqrt(length)`, for any update. One range then fits all of them, and a bound of the norm gives that range.
//! The rotation is linear, so that the server rotates the sum back (Suresh et al. 2017,
//! <https://arxiv.org/abs/1611.00429>; under masks Bonawitz et al. 2019, <https://arxiv.org/abs/1912.00131>).
//!
//! It is made of Walsh-Hadamard transforms of windows of `size` coordinates, the largest power of two that fits, each
//! after a change of signs at random. With a length that is no power of two there are four: of the first and of the
//! last coordinates, then, when those at even places have been dealt before those at odd ones, of the first and of the
//! last again. Windows overlap, so no lane is spent on padding, which would add a third to 24,576 values.
//! `flora-compression` cuts numbers into blocks instead, each with its own scale; here, one range must fit all
//! coordinates, and those of blocks would differ.
//!
//! The signs are the bits of a ChaCha20 stream (key `SHA-256(label || round || run)`, nonce zero), the lowest bit of
//! each byte first, one for each coordinate of each window; a set bit is a minus. Coordinates are multiplied by
//! `1 / sqrt(size)` together with the sign. All computations are in double precision.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use flora_core::hadamard;

use crate::{
    Session,
    crypto::{self, Digest},
};

/// The largest coordinate that fits, in units of `norm / sqrt(length)`.
///
/// One normal number in 5e8 is larger. A client whose update has exactly the largest norm is refused about once in
/// 20,000 rounds with 24,576 values, and practically never at 80 % of it.
const REACH: f64 = 6.0;

/// The largest magnitude of a coordinate after the rotation of a vector of at most this norm.
pub(crate) fn reach(norm: f64, length: usize) -> f64 {
    norm * (REACH / (length as f64).sqrt()).min(1.0)
}

/// The rotation of one setup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rotation {
    key: Digest,
}

impl Rotation {
    /// The rotation of a round. It does not depend on the attempt or the graph, so that a repeated run has the same. It
    /// hides nothing.
    pub(crate) fn new(session: &Session) -> Self {
        let Session { run, round, .. } = session;
        Self { key: crypto::hash("rotation", &[&round.to_le_bytes(), run.as_bytes()]) }
    }

    /// Rotates in place.
    pub(crate) fn apply(&self, values: &mut [f64]) {
        let (passes, last, size) = passes(values.len());
        let signs = self.signs(2 * passes * size);
        for pass in 0..passes {
            if pass > 0 {
                deal(values);
            }
            for (at, begin) in windows(last).enumerate() {
                let window = &mut values[begin..begin + size];
                flip(window, &signs, (2 * pass + at) * size);
                hadamard::transform(window);
            }
        }
    }

    /// Rotates back in place.
    pub(crate) fn undo(&self, values: &mut [f64]) {
        let (passes, last, size) = passes(values.len());
        let signs = self.signs(2 * passes * size);
        for pass in (0..passes).rev() {
            for (at, begin) in windows(last).enumerate().rev() {
                let window = &mut values[begin..begin + size];
                hadamard::transform(window);
                flip(window, &signs, (2 * pass + at) * size);
            }
            if pass > 0 {
                gather(values);
            }
        }
    }

    fn signs(&self, count: usize) -> Vec<u8> {
        let mut signs = vec![0; count.div_ceil(8)];
        ChaCha20::new((&self.key).into(), &[0; 12].into()).write_keystream(&mut signs);
        signs
    }
}

/// How many passes there are over values of this length, where the last window begins, and its size.
fn passes(length: usize) -> (usize, usize, usize) {
    let size = 1 << length.ilog2();
    let last = length - size;
    (if last == 0 { 1 } else { 2 }, last, size)
}

/// Where the windows of a pass begin.
fn windows(last: usize) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
    [0, last].into_iter().take(if last == 0 { 1 } else { 2 })
}

/// Those at even places, and then those at odd ones.
fn deal(values: &mut [f64]) {
    let all = values.to_vec();
    let dealt = all.iter().step_by(2).chain(all.iter().skip(1).step_by(2));
    values.iter_mut().zip(dealt).for_each(|(value, from)| *value = *from);
}

/// Undoes [`deal`].
fn gather(values: &mut [f64]) {
    let all = values.to_vec();
    let (even, odd) = all.split_at(all.len().div_ceil(2));
    values.iter_mut().step_by(2).zip(even).for_each(|(value, from)| *value = *from);
    values.iter_mut().skip(1).step_by(2).zip(odd).for_each(|(value, from)| *value = *from);
}

/// Multiplies by random signs, and by the factor that makes the transform keep norms.
fn flip(values: &mut [f64], signs: &[u8], from: usize) {
    let by = 1.0 / (values.len() as f64).sqrt();
    for (i, value) in values.iter_mut().enumerate() {
        let bit = from + i;
        *value *= if signs[bit / 8] >> (bit % 8) & 1 == 1 { -by } else { by };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_round(round: u64) -> Rotation {
        Rotation::new(&Session { run: "r".to_owned(), round, attempt: 0 })
    }

    fn norm(values: &[f64]) -> f64 {
        values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }

    #[test]
    fn it_keeps_norms_and_sums_and_is_undone() {
        for length in [1_usize, 2, 3, 5, 7, 8, 33, 96, 1000, 1023, 1024, 1025, 24_576] {
            let rotation = of_round(length as u64);
            let one: Vec<f64> = (0..length).map(|i| ((i * 37 + 5) % 19) as f64 - 9.0).collect();
            let two: Vec<f64> = (0..length).map(|i| ((i * 11 + 3) % 23) as f64 / 7.0).collect();
            let both: Vec<f64> = one.iter().zip(&two).map(|(a, b)| a + b).collect();
            let rotated = |values: &[f64]| {
                let mut values = values.to_vec();
                rotation.apply(&mut values);
                values
            };
            let (a, b, mut sum) = (rotated(&one), rotated(&two), rotated(&both));
            assert!((norm(&sum) - norm(&both)).abs() <= 1e-12 * norm(&both), "{length}");
            for i in 0..length {
                assert!((a[i] + b[i] - sum[i]).abs() <= 1e-12 * norm(&both), "{length}");
            }
            rotation.undo(&mut sum);
            for i in 0..length {
                assert!((sum[i] - both[i]).abs() <= 1e-12 * norm(&both), "{length}");
            }
        }
    }

    /// Updates whose energy is in one place, before which coordinates of blocks would differ.
    #[test]
    fn coordinates_are_alike_whatever_the_update_was() {
        for length in [1000_usize, 1024, 1536, 2047, 24_576] {
            for part in 0..4 {
                let begin = part * length / 4;
                for count in [1, length / 4] {
                    let mut largest = 0.0_f64;
                    for seed in 0..40 {
                        let mut values = vec![0.0; length];
                        values[begin..begin + count].fill((1.0 / count as f64).sqrt());
                        of_round(seed).apply(&mut values);
                        let most = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
                        largest = largest.max(most);
                    }
                    // The largest of 40 x 24,576 normal numbers is about 5.
                    let deviations = largest * (length as f64).sqrt();
                    assert!(deviations < 5.8, "{length} {begin} {count}: {deviations}");
                    assert!(largest <= reach(1.0, length));
                }
            }
        }
    }

    #[test]
    fn no_coordinate_is_larger_than_the_norm() {
        assert_eq!(reach(2.0, 1), 2.0);
        assert_eq!(reach(2.0, 36), 2.0);
        assert_eq!(reach(2.0, 144), 1.0);
    }
}
