//! Orthogonal matrices that align factors.

use faer::Mat;
use flora_federation::StrategyError;

use super::product::{SMALLEST, no_svd};

/// The orthogonal matrix `R` that maximises `trace(R^t C)` for a square `C`: for `C = X Y^t`, the one that minimises
/// `|R^t X - Y|_F` (the orthogonal Procrustes problem). If it must be `proper`, a rotation, the last singular direction
/// of a reflection is flipped, which costs least.
///
/// If C has no preference, for lack of rank, R is as close to the identity as possible.
pub(crate) fn nearest(c: &Mat<f64>, proper: bool) -> Result<Mat<f64>, StrategyError> {
    let svd = c.svd().map_err(|_| no_svd())?;
    let (u, size) = (svd.U(), c.nrows());
    let values = svd.S().column_vector();
    let rank = values.iter().take_while(|&&value| value > SMALLEST * values[0]).count();
    let mut v = svd.V().to_owned();
    if rank < size {
        // Any orthogonal matrix between the two null spaces would do; the one nearest to the identity is again a
        // Procrustes solution.
        let null = size - rank;
        let freedom = u.subcols(rank, null).transpose() * v.subcols(rank, null);
        let inner = freedom.svd().map_err(|_| no_svd())?;
        let turn = inner.U() * inner.V().transpose();
        let turned = v.subcols(rank, null) * turn.transpose();
        v.subcols_mut(rank, null).copy_from(turned);
    }
    let orthogonal = u * v.transpose();
    if !proper || orthogonal.determinant() > 0.0 {
        return Ok(orthogonal);
    }
    v.col_mut(size - 1).iter_mut().for_each(|value| *value = -*value);
    Ok(u * v.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
        (a - b).norm_l2()
    }

    #[test]
    fn without_a_preference_it_is_the_identity() {
        let identity = Mat::identity(3, 3);
        for proper in [false, true] {
            assert!(distance(&nearest(&Mat::zeros(3, 3), proper).unwrap(), &identity) < 1e-14);
            // A preference for a plane that stays unchanged.
            let part =
                Mat::from_fn(3, 3, |row, column| if row == 1 && column == 1 { 2.0 } else { 0.0 });
            assert!(distance(&nearest(&part, proper).unwrap(), &identity) < 1e-14);
        }
    }

    /// Rotates one direction to another and leaves the rest unchanged: a rotation by the angle between them.
    #[test]
    fn what_has_a_preference_takes_nothing_else_with_it() {
        let (u, v) = ([0.5, 0.5, 0.5, 0.5], [0.1, 0.7, 0.5, 0.5]);
        let c = Mat::from_fn(4, 4, |row, column| u[row] * v[column]);
        let cosine: f64 = u.iter().zip(v).map(|(u, v)| u * v).sum();
        for proper in [false, true] {
            let turn = nearest(&c, proper).unwrap();
            assert!(distance(&(&turn * turn.transpose()), &Mat::identity(4, 4)) < 1e-14);
            let trace: f64 = (0..4).map(|it| turn[(it, it)]).sum();
            assert!((trace - (2.0 + 2.0 * cosine)).abs() < 1e-14, "{trace}");
        }
    }

    #[test]
    fn a_reflection_is_made_a_rotation_where_it_costs_least() {
        let c = Mat::from_fn(3, 3, |row, column| match (row, column) {
            (0, 0) => -3.0,
            (1, 1) => 2.0,
            (2, 2) => 1.0,
            _ => 0.0,
        });
        let mirror = nearest(&c, false).unwrap();
        let turn = nearest(&c, true).unwrap();
        assert!((mirror.determinant() + 1.0).abs() < 1e-12);
        assert!((turn.determinant() - 1.0).abs() < 1e-12);
        assert!((mirror[(2, 2)] - 1.0).abs() < 1e-12 && (turn[(2, 2)] + 1.0).abs() < 1e-12);
        assert!((turn[(0, 0)] + 1.0).abs() < 1e-12 && (turn[(1, 1)] - 1.0).abs() < 1e-12);
    }
}
