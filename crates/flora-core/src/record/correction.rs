//! Names of the tensors that correct the base weights below LoRA adapters.
//!
//! Beside `LAYER.lora_A.weight` and `LAYER.lora_B.weight`, a record may hold a correction of the layer's weight `W0`: the
//! product of `LAYER.base_B.weight`, `[out, n]`, and `LAYER.base_A.weight`, `[n, in]`, or, as one matrix,
//! `LAYER.base_delta.weight`, `[out, in]`. With the scale `s` of the adapter, the model's weight is then
//! `W0 + s (correction + B A)`. Corrections are not trained.

use super::{HostTensor, ParameterRecord, RecordError};

/// Name suffix of the left factor, `[out, n]`.
pub const LEFT: &str = ".base_B.weight";
/// Name suffix of the right factor, `[n, in]`.
pub const RIGHT: &str = ".base_A.weight";
/// Name suffix of a correction in one matrix, `[out, in]`.
pub const DENSE: &str = ".base_delta.weight";

/// Whether a tensor of this name is part of a correction.
pub fn is_correction(name: &str) -> bool {
    layer(name).is_some()
}

/// The layer that a tensor of this name corrects, if it is part of a correction.
pub fn layer(name: &str) -> Option<&str> {
    [LEFT, RIGHT, DENSE].iter().find_map(|end| name.strip_suffix(end))
}

/// The correction of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Correction<'a> {
    /// No correction.
    None,
    /// Two factors.
    Factors {
        /// `[out, n]`, with n above 0.
        left: &'a HostTensor,
        /// `[n, in]`
        right: &'a HostTensor,
    },
    /// One matrix, `[out, in]`.
    Dense(&'a HostTensor),
}

impl<'a> Correction<'a> {
    /// The correction of `layer` in `record`, for a weight of shape `[out, width]`.
    ///
    /// # Errors
    /// One factor without the other, a matrix beside factors, or shapes that do not fit; the error names the tensor.
    pub fn of(
        record: &'a ParameterRecord,
        layer: &str,
        [out, width]: [usize; 2],
    ) -> Result<Self, RecordError> {
        let find = |end| record.get(&format!("{layer}{end}"));
        let fit = |end: &str, tensor: &'a HostTensor, expected: [usize; 2]| match tensor.shape() {
            shape if shape == expected => Ok(tensor),
            shape => Err(RecordError::Shape {
                name: format!("{layer}{end}"),
                actual: shape.to_vec(),
                expected: expected.to_vec(),
            }),
        };
        let missing = |end: &str, shape: [usize; 2]| RecordError::Missing {
            name: format!("{layer}{end}"),
            shape: shape.to_vec(),
        };
        let rank = |tensor: &HostTensor, axis: usize| {
            tensor.shape().get(axis).copied().unwrap_or(0).max(1)
        };
        match (find(LEFT), find(RIGHT), find(DENSE)) {
            (None, None, None) => Ok(Self::None),
            (None, None, Some(dense)) => Ok(Self::Dense(fit(DENSE, dense, [out, width])?)),
            (Some(left), Some(right), None) => {
                let n = rank(left, 1);
                let (left, right) = (fit(LEFT, left, [out, n])?, fit(RIGHT, right, [n, width])?);
                Ok(Self::Factors { left, right })
            }
            (Some(left), None, None) => Err(missing(RIGHT, [rank(left, 1), width])),
            (None, Some(right), None) => Err(missing(LEFT, [out, rank(right, 0)])),
            (_, _, Some(dense)) => Err(RecordError::Unexpected {
                name: format!("{layer}{DENSE}"),
                shape: dense.shape().to_vec(),
            }),
        }
    }

    /// The rank of the factors; 0 if there are none.
    pub fn rank(&self) -> usize {
        match self {
            Self::Factors { left, .. } => left.shape()[1],
            Self::None | Self::Dense(_) => 0,
        }
    }
}
