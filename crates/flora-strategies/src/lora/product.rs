//! Sums of products `B A` as the factors of a QR decomposition, never multiplied out to `[out, in]`.

use faer::{Mat, MatRef};
use flora_core::HostTensor;
use flora_federation::{Accepted, StrategyError};

use super::pairs::{Factors, Pair};
use super::svd::Svd;

/// Singular values below this fraction of the largest are rounding errors of factors that were f32.
pub(crate) const SMALLEST: f64 = 1e-12;

/// A term `B diag(weights) A` of a sum.
pub(crate) struct Term<'a> {
    pub(crate) factors: Factors<'a>,
    /// One weight per row of A.
    pub(crate) weights: Vec<f64>,
}

impl<'a> Term<'a> {
    /// `weight B A`
    pub(crate) fn new(factors: Factors<'a>, weight: f64) -> Self {
        Self { weights: vec![weight; factors.rank], factors }
    }
}

/// A sum of terms as `left right`: the matrices B side by side, `[out, n]`, times the stacked weighted matrices A, `[n,
/// in]`, with n the sum of the ranks.
pub(crate) struct Product {
    pub(crate) left: Mat<f64>,
    pub(crate) right: Mat<f64>,
}

impl Product {
    /// The sum of the terms of one layer.
    pub(crate) fn new(terms: &[Term<'_>]) -> Self {
        let columns = |tensor: &HostTensor| tensor.shape()[1];
        let (out, width) = terms
            .first()
            .map_or((0, 0), |term| (term.factors.b.shape()[0], columns(term.factors.a)));
        let ranks = terms.iter().map(|term| term.factors.rank).sum();
        let (mut left, mut right) = (Mat::zeros(out, ranks), Mat::zeros(ranks, width));
        let mut start = 0;
        for Term { factors, weights } in terms {
            for (row, values) in factors.b.to_f32().chunks_exact(factors.rank).enumerate() {
                for (column, &value) in values.iter().enumerate() {
                    left[(row, start + column)] = f64::from(value);
                }
            }
            for (row, values) in factors.a.to_f32().chunks_exact(width).enumerate() {
                for (column, &value) in values.iter().enumerate() {
                    right[(start + row, column)] = weights[row] * f64::from(value);
                }
            }
            start += factors.rank;
        }
        Self { left, right }
    }

    /// The mean of the replies' products of one layer, weighted by `shares`.
    pub(crate) fn mean(
        pair: &Pair,
        answers: &[&Accepted],
        shares: &[f64],
    ) -> Result<Self, StrategyError> {
        let mut terms = Vec::with_capacity(answers.len());
        for (answer, &share) in answers.iter().zip(shares) {
            terms.push(Term::new(pair.factors(|name| answer.parameters.get(name))?, share));
        }
        Ok(Self::new(&terms))
    }

    /// The Frobenius norms of `left right`, and of the product of only the first `n` columns and rows.
    ///
    /// Uses the R of left's QR factors if that is smaller: if terms cancel, the rest is accurate to about 1e-16 of the
    /// terms. Traces of Gram matrices would be accurate only to the root of that, 1e-8.
    pub(crate) fn norms(&self, first: usize) -> (f64, f64) {
        let (rows, columns) = self.left.shape();
        let qr = (rows > columns).then(|| self.left.qr());
        let r = qr.as_ref().map_or(self.left.as_ref(), |qr| qr.thin_R());
        let part = r.subcols(0, first) * self.right.subrows(0, first);
        let rest = columns - first;
        let whole = &part + r.subcols(first, rest) * self.right.subrows(first, rest);
        (norm(whole.as_ref()), norm(part.as_ref()))
    }

    /// The singular value decomposition, without singular values that are rounding errors.
    pub(crate) fn svd(&self) -> Result<Svd, StrategyError> {
        let (left, right) = (self.left.qr(), self.right.transpose().qr());
        let core = left.thin_R() * right.thin_R().transpose();
        let svd = core.thin_svd().map_err(|_| no_svd())?;
        let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let size = norm(self.left.as_ref()) * norm(self.right.as_ref());
        let rounding = f64::EPSILON * self.left.ncols() as f64 * size;
        let least = (SMALLEST * values.first().copied().unwrap_or(0.0)).max(rounding);
        let rank = values.iter().take_while(|&&value| value > least).count();
        let u = left.compute_thin_Q() * svd.U().subcols(0, rank);
        let v = right.compute_thin_Q() * svd.V().subcols(0, rank);
        Ok(Svd::new(u, values[..rank].to_vec(), v))
    }
}

/// The Frobenius norm.
pub(crate) fn norm(matrix: MatRef<'_, f64>) -> f64 {
    matrix.norm_l2()
}

pub(crate) fn no_svd() -> StrategyError {
    StrategyError::Other(
        "LoRA factors: the singular value decomposition failed; lower the learning rate, or refuse large updates with \
         `max_update_norm`"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(left: Mat<f64>, right: Mat<f64>) -> Product {
        Product { left, right }
    }

    fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
        norm((a - b).as_ref())
    }

    /// Also for more terms than the layer has inputs or outputs.
    #[test]
    fn singular_values_rebuild_the_product() {
        for terms in [1, 3, 9] {
            let left =
                Mat::from_fn(5, terms, |row, column| ((row * 7 + column * 3) % 5) as f64 - 1.7);
            let right = Mat::from_fn(terms, 4, |row, column| ((row * 5 + column) % 7) as f64 - 2.2);
            let dense = &left * &right;
            let svd = product(left, right).svd().unwrap();
            let old = Mat::zeros(4, 4);
            let (b, a) = svd.factors(4, old.as_ref());
            assert!(distance(&(&b * &a), &dense) < 1e-12, "{terms}");
            assert!(distance(&(&a * a.transpose()), &Mat::identity(4, 4)) < 1e-12, "{terms}");
        }
    }

    #[test]
    fn directions_without_a_singular_value_are_those_of_before() {
        let left = Mat::from_fn(3, 1, |row, _| row as f64);
        let right = Mat::from_fn(1, 4, |_, column| if column == 0 { -2.0 } else { 0.0 });
        let old = Mat::from_fn(2, 4, |row, column| [[1.0, 3.0, 0.0, 0.0], [9.0; 4]][row][column]);
        let (b, a) = product(left, right).svd().unwrap().factors(3, old.as_ref());
        assert_eq!((b.shape(), a.shape()), ((3, 3), (3, 4)));
        assert!(b.col(1).iter().chain(b.col(2).iter()).all(|&value| value == 0.0));
        // The largest entry of U is positive, so V carries the sign.
        assert!((b[(2, 0)] - 4.0).abs() < 1e-12 && (a[(0, 0)] + 1.0).abs() < 1e-12);
        assert!((a[(1, 1)] - 1.0).abs() < 1e-12);
        assert!((a[(2, 2)] - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_rank_above_the_width_is_filled_up_with_zeros() {
        let left = Mat::from_fn(3, 1, |_, _| 1.0);
        let right = Mat::from_fn(1, 2, |_, _| 1.0);
        let old = Mat::from_fn(4, 2, |_, _| 1.0);
        let (_, a) = product(left, right).svd().unwrap().factors(4, old.as_ref());
        assert!(
            norm(a.subrows(2, 2)) == 0.0 && (norm(a.subrows(0, 2)).powi(2) - 2.0).abs() < 1e-12
        );
    }

    /// `B A - B A`: the rounding error in f64 is not a direction.
    #[test]
    fn what_cancels_has_no_singular_values() {
        let b = Mat::from_fn(6, 2, |row, column| (row as f64 + 0.1) / (column as f64 + 1.3));
        let a = Mat::from_fn(2, 5, |row, column| 1.0 / (row as f64 + column as f64 + 0.7));
        let left = Mat::from_fn(6, 4, |row, column| b[(row, column % 2)]);
        let sign = |row| if row < 2 { 1.0 } else { -1.0 };
        let right = Mat::from_fn(4, 5, |row, column| sign(row) * a[(row % 2, column)]);
        let product = product(left, right);
        assert!(product.svd().unwrap().s.is_empty());
        let (whole, part) = product.norms(2);
        assert!(whole < 1e-14 * part, "{whole} {part}");
        let old = Mat::from_fn(1, 5, |_, column| column as f64);
        let (b, a) = product.svd().unwrap().factors(2, old.as_ref());
        assert!(norm(b.as_ref()) == 0.0 && a[(0, 4)] == 4.0 && a[(1, 4)] == 0.0);
    }
}
