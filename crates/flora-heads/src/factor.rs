use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::HeadsError;
use crate::moments::diagonal;

/// Solves `(A + shift I) X = B` for a symmetric A, given by its upper triangle, row by row. `B` and the result have
/// `dim` rows.
///
/// It uses a Cholesky factorisation. After rounding or with a server's noise, A can have negative eigenvalues that the
/// shift does not compensate; they are then set to zero, which gives the nearest matrix that images can have.
pub(crate) fn solve_shifted(
    packed: &[f64],
    shift: f64,
    right: &Mat<f64>,
) -> Result<Mat<f64>, HeadsError> {
    let dim = right.nrows();
    let mut lower = Mat::<f64>::zeros(dim, dim);
    for (row, start) in diagonal(dim).enumerate() {
        for (offset, &value) in packed[start..][..dim - row].iter().enumerate() {
            lower[(row + offset, row)] = value;
        }
        lower[(row, row)] += shift;
    }
    let answer = match lower.llt(Side::Lower) {
        Ok(factor) => factor.solve(right),
        Err(_) => {
            let eigen = lower
                .self_adjoint_eigen(Side::Lower)
                .map_err(|_| HeadsError::Singular("no eigenvalues were found"))?;
            let mut projected = eigen.U().transpose() * right;
            for row in 0..dim {
                // The eigenvalue includes the shift.
                let value = eigen.S()[row].max(shift);
                if value <= 0.0 {
                    return Err(HeadsError::Singular("an eigenvalue is zero"));
                }
                for column in 0..projected.ncols() {
                    projected[(row, column)] /= value;
                }
            }
            eigen.U() * projected
        }
    };
    if (0..answer.ncols()).any(|column| answer.col(column).iter().any(|value| !value.is_finite())) {
        return Err(HeadsError::Singular("the solution is not finite"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [[4, 2], [2, 3]] + 1, by hand: the inverse of [[5, 2], [2, 4]] is [[4, -2], [-2, 5]] / 16.
    #[test]
    fn the_solution_is_that_of_the_shifted_matrix() {
        let right = Mat::from_fn(2, 2, |row, column| if row == column { 16.0 } else { 0.0 });
        let answer = solve_shifted(&[4.0, 2.0, 3.0], 1.0, &right).unwrap();
        for (row, column, expected) in [(0, 0, 4.0), (0, 1, -2.0), (1, 0, -2.0), (1, 1, 5.0)] {
            assert!((answer[(row, column)] - expected).abs() < 1e-14);
        }
    }

    /// [[1, 2], [2, 1]] has the eigenvalues 3 for (1, 1) and -1 for (1, -1). The latter counts as 0.
    #[test]
    fn negative_eigenvalues_count_as_zero() {
        let right = Mat::from_fn(2, 2, |row, column| if row * column == 1 { -1.0 } else { 1.0 });
        let answer = solve_shifted(&[1.0, 2.0, 1.0], 0.5, &right).unwrap();
        for row in 0..2 {
            assert!((answer[(row, 0)] - 1.0 / 3.5).abs() < 1e-14);
            assert!((answer[(row, 1)] - right[(row, 1)] / 0.5).abs() < 1e-14);
        }
    }

    #[test]
    fn a_matrix_without_a_factor_is_an_error() {
        let right = Mat::from_fn(2, 1, |_, _| 1.0);
        assert!(matches!(solve_shifted(&[0.0; 3], 0.0, &right), Err(HeadsError::Singular(_))));
        let result = solve_shifted(&[f64::NAN, 0.0, 1.0], 0.0, &right);
        assert!(matches!(result, Err(HeadsError::Singular(_))));
    }
}
