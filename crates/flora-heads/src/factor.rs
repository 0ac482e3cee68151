use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::HeadsError;
use crate::moments::diagonal;

/// Solves `(A + shift I) X = B` for a symmetric A, given by its upper triangle, row by row. `B` and the answer have
/// `dim` rows.
///
/// The factor is Cholesky's. Rounding, or a server that added noise, can leave A with negative eigenvalues that the
/// shift does not make up for; then these are taken to be zero, which is the nearest matrix that images could have.
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
                // The shift is part of the eigenvalue already.
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
