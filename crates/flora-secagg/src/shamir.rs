//! Shamir's secret sharing (<https://doi.org/10.1145/359168.359176>) over the scalars of Curve25519, integers modulo
//! the prime `2^252 + 27742317777372353535851937790883648493`.
//!
//! The field is curve25519-dalek's, which X25519 and Ed25519 bring along: constant-time, reviewed, and without a limit
//! of 255 holders. Published sharing crates were not used. `vsss-rs` 6 brings `elliptic-curve`, `crypto-bigint` and
//! `num-bigint`, and no field for these scalars; `sharks` is unmaintained and biased (RUSTSEC-2024-0398); `blahaj`, its
//! repaired fork, multiplies in GF(2^8) by tables that are read at secret places.

use curve25519_dalek::Scalar;
use rand_chacha::rand_core::CryptoRng;
use zeroize::Zeroizing;

/// One share for each of `points`. Any `threshold` of them give `secret`; fewer reveal nothing about it.
///
/// Points are distinct and not zero; callers use positions in a roster, counted from one.
pub(crate) fn deal(
    secret: &Scalar,
    threshold: usize,
    points: &[u64],
    rng: &mut impl CryptoRng,
) -> Zeroizing<Vec<Scalar>> {
    // Coefficients of degrees 1, 2, ...
    let coefficients: Zeroizing<Vec<Scalar>> =
        Zeroizing::new((1..threshold).map(|_| Scalar::random(rng)).collect());
    let share = |point: &u64| {
        let x = Scalar::from(*point);
        coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| (sum + coefficient) * x)
            + secret
    };
    Zeroizing::new(points.iter().map(share).collect())
}

/// Factors by which to multiply the shares at `points` so that they add up to the secret: Lagrange's polynomials at
/// zero.
pub(crate) fn weights(points: &[u64]) -> Vec<Scalar> {
    let x: Vec<Scalar> = points.iter().map(|point| Scalar::from(*point)).collect();
    let mut below: Vec<Scalar> = x
        .iter()
        .enumerate()
        .map(|(i, own)| {
            x.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other - own).product()
        })
        .collect();
    Scalar::invert_batch_alloc(&mut below);
    let above = |i: usize| -> Scalar {
        x.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, x)| x).product()
    };
    below.iter().enumerate().map(|(i, below)| above(i) * below).collect()
}

/// Reconstructs the secret from shares and the [`weights`] of their points.
pub(crate) fn combine(weights: &[Scalar], shares: &[Scalar]) -> Zeroizing<Scalar> {
    Zeroizing::new(weights.iter().zip(shares).map(|(weight, share)| weight * share).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn every_set_of_enough_holders_gives_the_secret_and_no_smaller_one_does() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for holders in 2..=6_usize {
            let points: Vec<u64> = (0..holders as u64).map(|i| 3 * i + 1).collect();
            for threshold in 2..=holders {
                let secret = Scalar::random(&mut rng);
                let shares = deal(&secret, threshold, &points, &mut rng);
                for set in 1_u32..1 << holders {
                    let of = |i: &usize| set >> i & 1 == 1;
                    let some: Vec<u64> = (0..holders).filter(of).map(|i| points[i]).collect();
                    let theirs: Vec<Scalar> = (0..holders).filter(of).map(|i| shares[i]).collect();
                    let found = combine(&weights(&some), &theirs);
                    assert_eq!(
                        *found == secret,
                        some.len() >= threshold,
                        "{holders} {threshold} {set:b}"
                    );
                }
            }
        }
    }
}
