//! Singular values and vectors, and factors computed from them.

use faer::{Mat, MatRef};

/// If the part of a unit vector orthogonal to others is shorter than this, its direction is a rounding error.
const BESIDE: f64 = 1e-6;

/// `u diag(s) v^t`, with orthonormal columns of u and v, and s above zero and descending.
pub(crate) struct Svd {
    /// `[out, k]`
    pub(crate) u: Mat<f64>,
    /// k numbers.
    pub(crate) s: Vec<f64>,
    /// `[in, k]`
    pub(crate) v: Mat<f64>,
}

impl Svd {
    /// A decomposition with fixed signs, which an SVD leaves open: the largest entry of each column of u is positive.
    pub(crate) fn new(mut u: Mat<f64>, s: Vec<f64>, mut v: Mat<f64>) -> Self {
        for column in 0..u.ncols() {
            let larger =
                |most: f64, &value: &f64| if value.abs() > most.abs() { value } else { most };
            if u.col(column).iter().fold(0.0, larger) < 0.0 {
                u.col_mut(column).iter_mut().for_each(|value| *value = -*value);
                v.col_mut(column).iter_mut().for_each(|value| *value = -*value);
            }
        }
        Self { u, s, v }
    }

    /// Orthonormal bases of a rank: B, `[out, rank]`, with the first left singular vectors as columns, and A, `[rank,
    /// in]`, with the first right ones as rows. Missing vectors are filled with other orthonormal directions.
    pub(crate) fn bases(&self, rank: usize) -> (Mat<f64>, Mat<f64>) {
        let basis = |vectors: &Mat<f64>| {
            let size = vectors.nrows();
            let has = self.s.len().min(rank);
            let mut rows: Vec<Vec<f64>> =
                (0..has).map(|it| vectors.col(it).iter().copied().collect()).collect();
            let unit = |place| (0..size).map(|it| if it == place { 1.0 } else { 0.0 }).collect();
            complete(&mut rows, rank, (0..size).map(unit));
            rows
        };
        let (u, v) = (basis(&self.u), basis(&self.v));
        let at = |rows: &[Vec<f64>], row: usize, column: usize| {
            rows.get(row).map_or(0.0, |it| it[column])
        };
        let b = Mat::from_fn(self.u.nrows(), rank, |row, column| at(&u, column, row));
        (b, Mat::from_fn(rank, self.v.nrows(), |row, column| at(&v, row, column)))
    }

    /// The best `B A` of a rank: `B = U S` of shape `[out, rank]`, and `A = V^t` of shape `[rank, in]`, whose rows are
    /// orthonormal.
    ///
    /// If the product has fewer singular values, columns of B are zero. The corresponding rows of A are filled from the
    /// directions of `old`, the previous A, so that B can grow there: zeros in both matrices would never get a
    /// gradient. For a zero product, the first rows of `old` stay unchanged.
    pub(crate) fn factors(&self, rank: usize, old: MatRef<'_, f64>) -> (Mat<f64>, Mat<f64>) {
        let has = self.s.len().min(rank);
        let b = Mat::from_fn(self.u.nrows(), rank, |row, column| match column < has {
            true => self.u[(row, column)] * self.s[column],
            false => 0.0,
        });
        let width = self.v.nrows();
        if has == 0 {
            let row_of = |row, column| if row < old.nrows() { old[(row, column)] } else { 0.0 };
            return (b, Mat::from_fn(rank, width, row_of));
        }
        let mut rows: Vec<Vec<f64>> =
            (0..has).map(|row| self.v.col(row).iter().copied().collect()).collect();
        let of_old = (0..old.nrows()).map(|row| old.row(row).iter().copied().collect());
        let unit = |place| (0..width).map(|it| if it == place { 1.0 } else { 0.0 }).collect();
        complete(&mut rows, rank, of_old.chain((0..width).map(unit)));
        let at = |row: usize, column: usize| rows.get(row).map_or(0.0, |it| it[column]);
        (b, Mat::from_fn(rank, width, at))
    }
}

/// Adds the components of candidates orthogonal to the rows, as rows of norm 1, until there are `rank`.
fn complete(rows: &mut Vec<Vec<f64>>, rank: usize, candidates: impl Iterator<Item = Vec<f64>>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let normalised = |mut row: Vec<f64>, length: f64| {
        row.iter_mut().for_each(|value| *value /= length);
        row
    };
    for candidate in candidates {
        if rows.len() >= rank {
            return;
        }
        let length = dot(&candidate, &candidate).sqrt();
        if length == 0.0 {
            continue;
        }
        let mut left = normalised(candidate, length);
        // For a candidate that lies nearly in the span of the others, one pass is not enough, two are.
        for _ in 0..2 {
            for row in rows.iter() {
                let along = dot(row, &left);
                left.iter_mut().zip(row).for_each(|(value, row)| *value -= along * row);
            }
        }
        let length = dot(&left, &left).sqrt();
        if length > BESIDE {
            rows.push(normalised(left, length));
        }
    }
}
