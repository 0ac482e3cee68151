//! Conversions between tensors of records and f64 matrices.

use std::collections::BTreeMap;

use faer::{Mat, MatRef};
use flora_core::{Dtype, HostTensor, ParameterRecord, RecordError};

/// The matrix of a tensor of shape `[rows, columns]`.
pub(crate) fn matrix(tensor: &HostTensor) -> Mat<f64> {
    let (rows, columns) = (tensor.shape()[0], tensor.shape()[1]);
    let values = tensor.to_f32();
    Mat::from_fn(rows, columns, |row, column| f64::from(values[row * columns + column]))
}

/// The tensor of a matrix; each value is rounded to f32 first.
pub(crate) fn tensor(matrix: MatRef<'_, f64>, dtype: Dtype) -> Result<HostTensor, RecordError> {
    let (rows, columns) = matrix.shape();
    let mut values = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        values.extend((0..columns).map(|column| matrix[(row, column)] as f32));
    }
    Ok(HostTensor::from_f32([rows, columns], values)?.cast(dtype))
}

/// Matrices that replace those of a record.
#[derive(Default)]
pub(crate) struct Changed(BTreeMap<String, HostTensor>);

impl Changed {
    /// Replaces the tensor `name` by a matrix, in the element type of `like`.
    pub(crate) fn set(
        &mut self,
        name: &str,
        matrix: &Mat<f64>,
        like: &HostTensor,
    ) -> Result<(), RecordError> {
        self.0.insert(name.to_owned(), tensor(matrix.as_ref(), like.dtype())?);
        Ok(())
    }

    /// The record with the replaced matrices, which may have other shapes, in the same order.
    pub(crate) fn within(
        mut self,
        record: &ParameterRecord,
    ) -> Result<ParameterRecord, RecordError> {
        let mut changed = ParameterRecord::new();
        for (name, tensor) in record.iter() {
            changed.insert(name, self.0.remove(name).unwrap_or_else(|| tensor.clone()))?;
        }
        Ok(changed)
    }
}
