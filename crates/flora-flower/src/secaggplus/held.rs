//! The shares that one node holds of another node's secrets.

use zeroize::Zeroizing;

use super::shamir::{Share, is_share};

/// A node's share of another node's secrets, or of its own.
#[derive(Clone)]
pub(super) struct Held {
    /// The owner of the secrets; in transit, the receiver of the shares.
    pub(super) node: u64,
    /// A share of the seed: requested if the owner is online at the end.
    pub(super) seed: Share,
    /// A share of the private key: requested if the owner is lost.
    pub(super) key: Share,
}

/// Blocks of the shares of a seed, which has 32 bytes.
const SEED_BLOCKS: usize = 3;
/// Blocks of the shares of a private key as PEM. Flower's and ours have 20; other writers may use more lines.
const KEY_BLOCKS: std::ops::RangeInclusive<usize> = 1..=64;

impl Held {
    /// The plaintext that is encrypted for `self.node`.
    pub(super) fn to_plaintext(&self, source: u64) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(20 + self.seed.len() + self.key.len()));
        text.extend(source.to_le_bytes());
        text.extend(self.node.to_le_bytes());
        text.extend((self.seed.len() as u32).to_le_bytes());
        text.extend(self.seed.iter());
        text.extend(self.key.iter());
        text
    }

    /// The shares from a plaintext, and their receiver.
    pub(super) fn from_plaintext(text: &[u8]) -> Option<(Self, u64)> {
        let (source, rest) = text.split_first_chunk()?;
        let (destination, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (seed, key) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let [seed, key] = [seed, key].map(|share| Zeroizing::new(share.to_vec()));
        let held = Self { node: u64::from_le_bytes(*source), seed, key };
        held.is_right().then(|| (held, u64::from_le_bytes(*destination)))
    }

    pub(super) fn is_right(&self) -> bool {
        is_share(&self.seed, SEED_BLOCKS..=SEED_BLOCKS) && is_share(&self.key, KEY_BLOCKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_back_and_no_other_length_is() {
        let share = |blocks: usize| Zeroizing::new(vec![7_u8; 4 + 16 * blocks]);
        let held = Held { node: 9, seed: share(3), key: share(20) };
        let text = held.to_plaintext(u64::MAX);
        let (read, to) = Held::from_plaintext(&text).unwrap();
        assert_eq!((read.node, to), (u64::MAX, 9));
        assert!(read.seed == held.seed && read.key == held.key);
        assert!(
            (0..text.len())
                .filter(|end| end % 16 != 12)
                .all(|end| Held::from_plaintext(&text[..end]).is_none())
        );
        let mut other = text.clone();
        other[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Held::from_plaintext(&other).is_none());
        let wrong = Held { seed: share(2), ..held };
        assert!(Held::from_plaintext(&wrong.to_plaintext(1)).is_none());
    }
}
