//! Selection of the values to send, and compact encoding of their positions.

use crate::bits::{BitReader, BitWriter};
use crate::error::CodecError;

/// The largest Rice parameter.
const MOST: u8 = 31;

/// The number of values sent out of `length`: `round(density * length)`, at least one.
pub(super) fn count(length: usize, density: f64) -> usize {
    let rounded = (density * length as f64).round() as usize;
    rounded.clamp(length.min(1), length)
}

/// The positions of the `count` largest magnitudes in ascending order; in a tie, the first.
pub(super) fn largest(values: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    if count > 0 && count < values.len() {
        // The bit patterns of finite magnitudes have the order of the magnitudes.
        let key = |&at: &usize| (std::cmp::Reverse(values[at].abs().to_bits()), at);
        places.select_nth_unstable_by_key(count - 1, key);
    }
    places.truncate(count);
    places.sort_unstable();
    places
}

/// Writes ascending positions, and returns the Rice parameter.
///
/// They never take more bits than a bitmap: with parameter 0 they are a bitmap, up to the last position.
pub(super) fn write(places: &[usize], bits: &mut BitWriter) -> u8 {
    let gaps = || {
        let before = std::iter::once(0).chain(places.iter().map(|at| at + 1));
        places.iter().zip(before).map(|(at, before)| at - before)
    };
    let cost = |parameter: &u8| {
        gaps().map(|gap| (gap >> parameter) + 1 + usize::from(*parameter)).sum::<usize>()
    };
    let parameter = (0..=MOST).min_by_key(cost).expect("not empty");
    for gap in gaps() {
        bits.write_unary(gap >> parameter);
        bits.write((gap & ((1 << parameter) - 1)) as u32, parameter.into());
    }
    parameter
}

/// Reads `count` ascending positions below `length`.
///
/// # Errors
/// [`CodecError::Damaged`].
pub(super) fn read(
    parameter: u8,
    count: usize,
    length: usize,
    bits: &mut BitReader<'_>,
) -> Result<Vec<usize>, CodecError> {
    if parameter > MOST {
        return Err(CodecError::Damaged("a Rice parameter is above 31"));
    }
    let mut places = Vec::new();
    let mut next = 0_usize;
    for _ in 0..count {
        let high = bits.read_unary((length - next) >> parameter)?;
        let gap = high << parameter | bits.read(parameter.into())? as usize;
        if gap >= length - next {
            return Err(CodecError::Damaged("a position lies beyond the end of its tensor"));
        }
        places.push(next + gap);
        next += gap + 1;
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_selected() {
        assert_eq!(largest(&[1.0, -3.0, 0.0, 2.0, 3.0], 3), [1, 3, 4]);
        assert_eq!(largest(&[1.0; 6], 2), [0, 1]);
        assert_eq!(largest(&[0.0, -0.0, 1e-45], 1), [2]);
        assert_eq!(largest(&[], 0), [0_usize; 0]);
        let counts = [(0, 0.5, 0), (1, 0.01, 1), (10, 0.25, 3), (10, 1.0, 10), (10, 1e-9, 1)];
        for (length, density, expected) in counts {
            assert_eq!(count(length, density), expected);
        }
    }

    #[test]
    fn places_come_back() {
        let long: Vec<usize> = (0..1_000).map(|at| at * at).collect();
        let cases: [(&[usize], usize, u8); 6] = [
            (&[], 0, 0),
            (&[0], 1, 0),
            (&[99], 100, 6),
            (&[1, 3, 5, 7], 8, 0),
            (&[0, 1, 2, 5, 7, 8, 10, 14], 15, 0),
            (&long, 1_000_000, 9),
        ];
        for (places, length, expected) in cases {
            let mut bits = BitWriter::default();
            let mode = write(places, &mut bits);
            assert_eq!(mode, expected, "{length}");
            let bytes = bits.finish();
            let mut reader = BitReader::new(&bytes);
            assert_eq!(read(mode, places.len(), length, &mut reader).unwrap(), places);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn places_beyond_the_end_are_refused() {
        for (mode, bytes) in [(0, [0xff; 4]), (31, [0; 4]), (4, [0xfe; 4]), (32, [0; 4])] {
            assert!(read(mode, 3, 20, &mut BitReader::new(&bytes)).is_err(), "{mode}");
        }
    }
}
