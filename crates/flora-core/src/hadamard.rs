//! The Walsh-Hadamard transform, of which random rotations are made.

use std::ops::{Add, Sub};

/// Multiplies by the Hadamard matrix of Sylvester's order, with entries 1 and -1, in place.
///
/// The number of values must be a power of two. Applying it twice multiplies by that number. Every value is the result
/// of the same additions in the same order on any machine, so its bits are too.
pub fn transform<T: Copy + Add<Output = T> + Sub<Output = T>>(values: &mut [T]) {
    debug_assert!(values.len().is_power_of_two());
    // The first three stages run in registers: their halves are too short for vector instructions.
    let (eights, rest) = values.as_chunks_mut::<8>();
    if eights.is_empty() {
        return stages(rest, 1);
    }
    for eight in eights {
        for half in [1, 2, 4] {
            for at in (0..8).filter(|at| at & half == 0) {
                (eight[at], eight[at + half]) =
                    (eight[at] + eight[at + half], eight[at] - eight[at + half]);
            }
        }
    }
    stages(values, 8);
}

/// The stages from the one with halves of length `half`.
fn stages<T: Copy + Add<Output = T> + Sub<Output = T>>(values: &mut [T], mut half: usize) {
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 1024, 1 << 14];

    #[test]
    fn it_is_the_product_with_the_matrix() {
        for size in SIZES.into_iter().filter(|&size| size <= 1024) {
            let values: Vec<f32> = (0..size).map(|at| ((at * 7 + 3) % 11) as f32 - 5.0).collect();
            // The entry in row i and column j: 1, or -1 if i and j have an odd number of common bits.
            let product = |row: usize| -> f32 {
                let sign = |column: usize| 1.0 - 2.0 * ((row & column).count_ones() % 2) as f32;
                values.iter().enumerate().map(|(column, value)| sign(column) * value).sum()
            };
            let expected: Vec<f32> = (0..size).map(product).collect();
            let mut found = values.clone();
            transform(&mut found);
            assert_eq!(found, expected);
            transform(&mut found);
            let scaled: Vec<f32> = values.iter().map(|value| value * size as f32).collect();
            assert_eq!(found, scaled);
        }
    }

    /// Numbers of many digits and magnitudes, so that sums in another order have other bits.
    fn number(at: usize) -> f64 {
        let bits = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mantissa = (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        mantissa * f64::exp2((bits % 24) as f64 - 12.0)
    }

    /// Uploads and masked sums are made of these bits: other ones would change the results of runs.
    #[test]
    fn the_bits_in_both_precisions_are_those_of_one_stage_after_the_other() {
        let mut digest = [Sha256::new(), Sha256::new()];
        for size in SIZES {
            let mut double: Vec<f64> = (0..size).map(number).collect();
            let mut single: Vec<f32> = double.iter().map(|&value| value as f32).collect();
            let (mut plain_double, mut plain_single) = (double.clone(), single.clone());
            transform(&mut double);
            transform(&mut single);
            stages(&mut plain_double, 1);
            stages(&mut plain_single, 1);
            for (value, plain) in double.iter().zip(&plain_double) {
                assert_eq!(value.to_bits(), plain.to_bits(), "{size}");
                digest[0].update(value.to_le_bytes());
            }
            for (value, plain) in single.iter().zip(&plain_single) {
                assert_eq!(value.to_bits(), plain.to_bits(), "{size}");
                digest[1].update(value.to_le_bytes());
            }
        }
        let digests = digest.map(|it| crate::hex::encode(&it.finalize()));
        assert_eq!(
            digests,
            [
                "35ac78e020d8a3815875ca7287a79f068018d342d7a97d653e0d9d91362a25d7",
                "fc16c7f9b2c3fb93ad4781380824dff2397f196834de05e38b8775c02f51b643",
            ]
        );
    }
}
