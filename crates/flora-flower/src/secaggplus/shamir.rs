//! Shamir's secret sharing as in PyCryptodome (`ssss=False`), over GF(2^128) with x^128 + x^7 + x^2 + x + 1, and
//! Flower's form of a share.
//!
//! A secret is padded to blocks of 16 bytes (PKCS#7). Share `i`, from 1, is `i` as 4 bytes, little endian, and then for
//! each block the value at `i` of a polynomial whose constant term is the block.

use zeroize::Zeroizing;

use super::{Random, SecAggError};

const BLOCK: usize = 16;
/// The bytes of a share's number.
const HEAD: usize = 4;

/// A share of one secret.
pub(super) type Share = Zeroizing<Vec<u8>>;

/// Shares 1 to `count` of `secret`, of which `threshold` reconstruct it.
pub(super) fn split(
    secret: &[u8],
    threshold: u32,
    count: u32,
    random: &mut Random<'_>,
) -> Result<Vec<Share>, SecAggError> {
    let padded = pad(secret);
    let length = HEAD + padded.len();
    let mut shares: Vec<Share> = (1..=count)
        .map(|number| {
            let mut share = Zeroizing::new(Vec::with_capacity(length));
            share.extend(number.to_le_bytes());
            share
        })
        .collect();
    for block in padded.as_chunks::<BLOCK>().0 {
        let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold as usize));
        for _ in 1..threshold {
            let mut bytes = Zeroizing::new([0; BLOCK]);
            random(&mut *bytes).map_err(SecAggError::Random)?;
            coefficients.push(u128::from_be_bytes(*bytes));
        }
        coefficients.push(u128::from_be_bytes(*block));
        for (number, share) in (1..).zip(&mut shares) {
            // Horner's rule, the highest power first.
            let value = coefficients.iter().fold(0, |sum, it| times(sum, number) ^ it);
            share.extend(value.to_be_bytes());
        }
    }
    Ok(shares)
}

/// Whether a share of a secret of `blocks` blocks has this length.
pub(super) fn is_share(bytes: &[u8], blocks: std::ops::RangeInclusive<usize>) -> bool {
    let Some(rest) = bytes.len().checked_sub(HEAD) else { return false };
    rest.is_multiple_of(BLOCK) && blocks.contains(&(rest / BLOCK))
}

fn pad(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let more = BLOCK - secret.len() % BLOCK;
    let mut padded = Zeroizing::new(Vec::with_capacity(secret.len() + more));
    padded.extend(secret);
    padded.extend(std::iter::repeat_n(more as u8, more));
    padded
}

/// The product in the field. The number is public, so the time may depend on it; it does not depend on the element.
fn times(element: u128, number: u32) -> u128 {
    let (mut sum, mut power, mut rest) = (0, element, number);
    while rest != 0 {
        if rest & 1 == 1 {
            sum ^= power;
        }
        power = double(power);
        rest >>= 1;
    }
    sum
}

/// The product with x.
fn double(element: u128) -> u128 {
    (element << 1) ^ (0_u128.wrapping_sub(element >> 127) & 0b1000_0111)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fixture::{Primitives, from_system};
    use super::*;

    fn product(a: u128, b: u128) -> u128 {
        (0..128).rev().fold(0, |sum, bit| double(sum) ^ if b >> bit & 1 == 1 { a } else { 0 })
    }

    /// `a^(2^128 - 2)`.
    fn inverse(a: u128) -> u128 {
        let mut power = a;
        (1..128).fold(1, |all, _| {
            power = product(power, power);
            product(all, power)
        })
    }

    /// Reconstruction, as in Flower's server, from all available shares.
    pub(in super::super) fn combine(shares: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let shares: Vec<_> = shares.iter().map(AsRef::as_ref).collect();
        let number =
            |share: &[u8]| u128::from(u32::from_le_bytes(share[..HEAD].try_into().unwrap()));
        let mut secret = Vec::new();
        for start in (HEAD..shares[0].len()).step_by(BLOCK) {
            let mut block = 0;
            for share in &shares {
                let value = u128::from_be_bytes(share[start..start + BLOCK].try_into().unwrap());
                let own = number(share);
                let others = shares.iter().map(|it| number(it)).filter(|it| *it != own);
                block ^= others
                    .fold(value, |all, other| product(product(all, other), inverse(own ^ other)));
            }
            secret.extend(block.to_be_bytes());
        }
        let padding = usize::from(*secret.last().unwrap());
        secret.truncate(secret.len() - padding);
        secret
    }

    #[test]
    fn shares_of_flower_are_read_and_remade_with_the_same_draws() {
        let cases = Primitives::load().shamir;
        assert!(cases.len() >= 4);
        for case in cases {
            let shares: Vec<_> = case.shares.iter().map(|it| it.0.clone()).collect();
            for from in 0..=shares.len() - case.threshold as usize {
                assert_eq!(combine(&shares[from..from + case.threshold as usize]), case.secret.0);
            }
            assert_eq!(combine(&shares), case.secret.0);
            let mut draws = case.draws.0.as_slice();
            let mut replay = |bytes: &mut [u8]| {
                bytes.copy_from_slice(draws.split_off(..bytes.len()).unwrap());
                Ok(())
            };
            let count = shares.len() as u32;
            let ours = split(&case.secret, case.threshold, count, &mut replay).unwrap();
            assert!(draws.is_empty());
            assert!(ours.iter().zip(&shares).all(|(ours, theirs)| **ours == *theirs));
        }
    }

    #[test]
    fn fewer_shares_than_the_threshold_are_of_no_use() {
        let shares = split(&[9; 32], 3, 5, &mut from_system()).unwrap();
        assert_eq!(combine(&shares[1..4]), [9; 32]);
        assert_ne!(combine(&shares[1..3]).first_chunk(), Some(&[9; 16]));
        assert!(shares.iter().all(|share| is_share(share, 3..=3)));
        assert!(
            !is_share(&shares[0][..51], 3..=3)
                && !is_share(&shares[0], 4..=20)
                && !is_share(&[1; 3], 0..=9)
        );
    }
}
