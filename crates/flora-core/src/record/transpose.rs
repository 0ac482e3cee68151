/// Transposes a row-major matrix of shape `[rows, columns]`; the result has shape `[columns, rows]`.
///
/// # Panics
///
/// Panics if there are fewer than `rows * columns` values.
pub fn transpose(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn rows_become_columns() {
        assert_eq!(
            transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
