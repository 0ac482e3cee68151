//! Corrections of the base weights, for rules whose mean exceeds the adapters' rank.

use faer::Mat;
use flora_core::record::correction::{Correction, DENSE, LEFT, RIGHT};
use flora_core::{Dtype, ParameterRecord};
use flora_federation::StrategyError;

use super::matrix::{matrix, tensor};
use super::pairs::Pair;

/// The correction of the layer of `pair` in `record`.
pub(crate) fn of<'a>(
    pair: &Pair,
    record: &'a ParameterRecord,
) -> Result<Correction<'a>, StrategyError> {
    Ok(Correction::of(record, &pair.layer, [pair.out, pair.width])?)
}

/// The correction as one matrix; `None` if there is none.
pub(crate) fn dense(correction: Correction<'_>) -> Option<Mat<f64>> {
    match correction {
        Correction::None => None,
        Correction::Factors { left, right } => Some(matrix(left) * matrix(right)),
        Correction::Dense(dense) => Some(matrix(dense)),
    }
}

/// Stores the sum of `before` and `left right` in `record`, as the correction of the layer of `pair`: as concatenated
/// factors while these have fewer values than the sum, otherwise as one matrix.
pub(crate) fn insert_sum(
    before: Correction<'_>,
    left: &Mat<f64>,
    right: &Mat<f64>,
    pair: &Pair,
    record: &mut ParameterRecord,
) -> Result<(), StrategyError> {
    let name = |end| format!("{}{end}", pair.layer);
    let (rows, columns) = (pair.out, pair.width);
    let (old, more) = (before.rank(), left.ncols());
    let rank = old + more;
    if matches!(before, Correction::Dense(_)) || rank * (rows + columns) >= rows * columns {
        let mut sum = left * right;
        if let Some(before) = dense(before) {
            sum += before;
        }
        record.insert(name(DENSE), tensor(sum.as_ref(), Dtype::F32)?)?;
        return Ok(());
    }
    if rank == 0 {
        return Ok(());
    }
    let (mut all_left, mut all_right) = (Mat::zeros(rows, rank), Mat::zeros(rank, columns));
    if let Correction::Factors { left, right } = before {
        all_left.subcols_mut(0, old).copy_from(matrix(left));
        all_right.subrows_mut(0, old).copy_from(matrix(right));
    }
    all_left.subcols_mut(old, more).copy_from(left);
    all_right.subrows_mut(old, more).copy_from(right);
    record.insert(name(LEFT), tensor(all_left.as_ref(), Dtype::F32)?)?;
    record.insert(name(RIGHT), tensor(all_right.as_ref(), Dtype::F32)?)?;
    Ok(())
}
