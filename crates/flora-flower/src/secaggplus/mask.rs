//! Flower's `pseudo_rand_gen`: numpy's `RandomState(seed).randint(0, modulus - 1)`.

use rand_mt::Mt;

/// Numbers from 0 to `modulus - 2`, in sequence, row by row and array by array.
pub(super) struct Mask {
    generator: Mt,
    most: u32,
    /// The number of bits of `most`.
    bits: u32,
}

impl Mask {
    /// `modulus` is from 2 to 2^32. Bytes of the seed beyond a multiple of four are ignored; Flower's seeds have none.
    pub(super) fn new(seed: &[u8], modulus: u64) -> Self {
        let words = seed.as_chunks().0.iter();
        let seed = words.fold(0, |all, word| all ^ u32::from_le_bytes(*word));
        let most = u32::try_from(modulus.saturating_sub(2)).unwrap_or(u32::MAX);
        let bits = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        Self { generator: Mt::new(seed), most, bits }
    }

    pub(super) fn add_to(&mut self, values: &mut [u32]) {
        values.iter_mut().for_each(|value| *value = value.wrapping_add(self.next()));
    }

    pub(super) fn subtract_from(&mut self, values: &mut [u32]) {
        values.iter_mut().for_each(|value| *value = value.wrapping_sub(self.next()));
    }

    fn next(&mut self) -> u32 {
        loop {
            let value = self.generator.next_u32() & self.bits;
            if value <= self.most {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Primitives;
    use super::*;

    #[test]
    fn numbers_are_those_of_numpy() {
        let seed: Vec<u8> = (1..=32).collect();
        let mut values = [0; 4];
        Mask::new(&seed, 1 << 32).add_to(&mut values);
        assert_eq!(values, [3486346898, 2823371482, 1033905133, 65328279]);
        Mask::new(&seed, 1 << 32).subtract_from(&mut values);
        assert_eq!(values, [0; 4]);

        let cases = Primitives::load().masks;
        assert!(cases.len() >= 6);
        for case in cases {
            let mut mask = Mask::new(&case.seed, case.modulus);
            for expected in &case.arrays {
                let mut values = vec![0; expected.len()];
                mask.add_to(&mut values);
                assert_eq!(&values, expected, "{}", case.modulus);
            }
        }
    }

    /// The reason for the 28 bits in the documentation.
    #[test]
    fn a_pair_seed_never_sets_the_highest_bit_of_a_byte() {
        let fold = |seed: &[u8]| {
            seed.as_chunks().0.iter().fold(0, |all, it| all ^ u32::from_le_bytes(*it))
        };
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
        for start in 0..letters.len() {
            let seed: Vec<u8> =
                letters.iter().cycle().skip(start).step_by(7).take(44).copied().collect();
            assert_eq!(fold(&seed) & 0x8080_8080, 0);
        }
    }
}
