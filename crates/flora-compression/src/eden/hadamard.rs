//! The Walsh-Hadamard transform.

/// Multiplies by the Hadamard matrix of Sylvester's order, with entries 1 and -1, in place.
///
/// The number of values must be a power of two. Applying it twice multiplies by that number.
pub(super) fn hadamard(values: &mut [f32]) {
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
fn stages(values: &mut [f32], mut half: usize) {
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
    use super::*;

    #[test]
    fn it_is_the_product_with_the_matrix() {
        for size in [1_usize, 2, 4, 8, 16, 64] {
            let values: Vec<f32> = (0..size).map(|at| ((at * 7 + 3) % 11) as f32 - 5.0).collect();
            // The entry in row i and column j: 1, or -1 if i and j have an odd number of common bits.
            let product = |row: usize| -> f32 {
                let sign = |column: usize| 1.0 - 2.0 * ((row & column).count_ones() % 2) as f32;
                values.iter().enumerate().map(|(column, value)| sign(column) * value).sum()
            };
            let expected: Vec<f32> = (0..size).map(product).collect();
            let mut found = values.clone();
            hadamard(&mut found);
            assert_eq!(found, expected);
            hadamard(&mut found);
            let scaled: Vec<f32> = values.iter().map(|value| value * size as f32).collect();
            assert_eq!(found, scaled);
        }
    }
}
