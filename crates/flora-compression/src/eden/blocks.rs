//! Splitting numbers into blocks whose sizes are powers of two.

/// The largest block: its rotation needs 256 KiB, which fits into the processor's caches.
pub(super) const LARGEST: usize = 1 << 16;
/// The smallest block that is split off while numbers are left for another one.
const SMALLEST: usize = 256;
/// The smallest block.
const LEAST: usize = 32;

/// A block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Block {
    /// `length` numbers, zero-padded to `size`, a power of two.
    Rotated { length: usize, size: usize },
    /// So few numbers that 4 bytes each take no more than codes and a scale.
    Raw { length: usize },
}

impl Block {
    pub(super) fn length(self) -> usize {
        match self {
            Self::Rotated { length, .. } | Self::Raw { length } => length,
        }
    }

    /// The size of the block in bytes, with codes of `bits` each.
    pub(super) fn byte_len(self, bits: u8) -> usize {
        match self {
            Self::Rotated { size, .. } => 4 + size / 8 * usize::from(bits),
            Self::Raw { length } => 4 * length,
        }
    }
}

/// The blocks of `total` numbers: one per binary digit of `total`, and one for the rest below 256.
pub(super) fn blocks(total: usize, bits: u8) -> impl Iterator<Item = Block> {
    let mut left = total;
    std::iter::from_fn(move || {
        let block = match left {
            0 => return None,
            SMALLEST.. => {
                let size = (1 << left.ilog2()).min(LARGEST);
                Block::Rotated { length: size, size }
            }
            length => {
                let size = length.next_power_of_two().max(LEAST);
                let (rotated, raw) = (Block::Rotated { length, size }, Block::Raw { length });
                if raw.byte_len(bits) <= rotated.byte_len(bits) { raw } else { rotated }
            }
        };
        left -= block.length();
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_the_binary_digits() {
        let whole = |size| Block::Rotated { length: size, size };
        let of = |total| blocks(total, 2).collect::<Vec<_>>();
        assert_eq!(of(24_576), [whole(16_384), whole(8_192)]);
        assert_eq!(
            of(200_000),
            [
                whole(65_536),
                whole(65_536),
                whole(65_536),
                whole(2_048),
                whole(1_024),
                whole(256),
                Block::Rotated { length: 64, size: 64 },
            ]
        );
        assert_eq!(of(259), [whole(256), Block::Raw { length: 3 }]);
        assert_eq!(of(20), [Block::Rotated { length: 20, size: 32 }]);
        assert_eq!(of(0), []);
        for total in 0..3_000 {
            assert_eq!(blocks(total, 4).map(Block::length).sum::<usize>(), total);
        }
    }
}
