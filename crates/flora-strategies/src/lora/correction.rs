//! What is added to the weights below the adapters, for rules whose mean is no product of the adapters' rank.

use faer::Mat;
use flora_core::record::correction::{DENSE, LEFT, RIGHT};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::StrategyError;

use super::matrix::{matrix, tensor};
use super::pairs::Pair;

/// The correction of a layer.
pub(crate) enum Correction<'a> {
    None,
    Factors { left: &'a HostTensor, right: &'a HostTensor },
    Dense(&'a HostTensor),
}

impl<'a> Correction<'a> {
    /// That of the layer of `pair` in `record`.
    pub(crate) fn of(pair: &Pair, record: &'a ParameterRecord) -> Result<Self, StrategyError> {
        let find = |end| record.get(&format!("{}{end}", pair.layer));
        let (rows, columns) = (pair.out, pair.width);
        match (find(LEFT), find(RIGHT), find(DENSE)) {
            (None, None, None) => Ok(Self::None),
            (None, None, Some(dense)) if dense.shape() == [rows, columns] => Ok(Self::Dense(dense)),
            (Some(left), Some(right), None)
                if left.shape().len() == 2
                    && left.shape()[0] == rows
                    && right.shape() == [left.shape()[1], columns] =>
            {
                Ok(Self::Factors { left, right })
            }
            _ => Err(StrategyError::Other(format!(
                "{}: its correction does not fit a weight of shape [{rows}, {columns}]",
                pair.layer
            ))),
        }
    }

    /// All of it; `None` where there is none.
    pub(crate) fn dense(&self) -> Option<Mat<f64>> {
        match self {
            Self::None => None,
            Self::Factors { left, right } => Some(matrix(left) * matrix(right)),
            Self::Dense(dense) => Some(matrix(dense)),
        }
    }

    /// Puts the sum of this and `left right` into `record`, as the correction of the layer of `pair`: side by side, as long
    /// as that has fewer numbers than the sum.
    pub(crate) fn and(
        &self,
        left: &Mat<f64>,
        right: &Mat<f64>,
        pair: &Pair,
        record: &mut ParameterRecord,
    ) -> Result<(), StrategyError> {
        let name = |end| format!("{}{end}", pair.layer);
        let (rows, columns) = (pair.out, pair.width);
        let rank = left.ncols() + self.rank();
        if matches!(self, Self::Dense(_)) || rank * (rows + columns) >= rows * columns {
            let mut sum = left * right;
            if let Some(before) = self.dense() {
                sum += before;
            }
            record.insert(name(DENSE), tensor(sum.as_ref(), Dtype::F32)?)?;
            return Ok(());
        }
        let (mut all_left, mut all_right) = (Mat::zeros(rows, rank), Mat::zeros(rank, columns));
        let before = self.rank();
        if let Self::Factors { left, right } = self {
            all_left.subcols_mut(0, before).copy_from(matrix(left));
            all_right.subrows_mut(0, before).copy_from(matrix(right));
        }
        all_left.subcols_mut(before, left.ncols()).copy_from(left);
        all_right.subrows_mut(before, right.nrows()).copy_from(right);
        record.insert(name(LEFT), tensor(all_left.as_ref(), Dtype::F32)?)?;
        record.insert(name(RIGHT), tensor(all_right.as_ref(), Dtype::F32)?)?;
        Ok(())
    }

    /// Of the factors; 0 where there are none.
    fn rank(&self) -> usize {
        match self {
            Self::Factors { left, .. } => left.shape()[1],
            Self::None | Self::Dense(_) => 0,
        }
    }
}
