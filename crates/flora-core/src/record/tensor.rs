use std::borrow::Cow;

use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{Dtype, RecordError};

/// A dense tensor in ordinary memory: shape, element type, and values in row-major order.
///
/// Equality compares shape, element type and values. Values compare as floating-point numbers (NaN equals nothing).
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
}

impl HostTensor {
    /// A single-precision tensor from its values in row-major order. An empty shape is a scalar.
    ///
    /// # Errors
    /// [`RecordError::Length`] if `values` is not as long as the product of `shape`,
    /// [`RecordError::TooLarge`] if that product overflows.
    pub fn from_f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Self, RecordError> {
        let shape = shape.into();
        let expected = product(&shape, 1)?;
        if values.len() != expected {
            return Err(RecordError::Length { shape, expected, actual: values.len() });
        }
        Ok(Self { shape, values: Values::F32(values) })
    }

    /// A vector of bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { shape: vec![bytes.len()], values: Values::U8(bytes) }
    }

    /// The values, if they are bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.values {
            Values::U8(values) => Some(values),
            _ => None,
        }
    }

    /// A tensor from the little-endian bytes of its values, as safetensors stores them.
    ///
    /// # Errors
    /// [`RecordError::Bytes`] if the length of `bytes` does not fit `shape` and `dtype`, [`RecordError::TooLarge`] if
    /// that length overflows.
    pub fn from_le_bytes(
        dtype: Dtype,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, RecordError> {
        let shape = shape.into();
        let expected = product(&shape, dtype.size())?;
        if bytes.len() != expected {
            return Err(RecordError::Bytes { shape, dtype, expected, actual: bytes.len() });
        }
        let (words, halves) = (bytes.as_chunks().0, bytes.as_chunks().0);
        let values = match dtype {
            Dtype::F32 => Values::F32(words.iter().copied().map(f32::from_le_bytes).collect()),
            Dtype::F16 => Values::F16(halves.iter().copied().map(f16::from_le_bytes).collect()),
            Dtype::Bf16 => Values::Bf16(halves.iter().copied().map(bf16::from_le_bytes).collect()),
            Dtype::U8 => Values::U8(bytes.to_vec()),
        };
        Ok(Self { shape, values })
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F16(_) => Dtype::F16,
            Values::Bf16(_) => Dtype::Bf16,
            Values::U8(_) => Dtype::U8,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::Bf16(values) => values.len(),
            Values::U8(values) => values.len(),
        }
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the values in bytes, without name, shape or any header.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype().size()
    }

    /// The values in row-major order; a copy only if the element type is not `f32`.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match &self.values {
            Values::F32(values) => Cow::Borrowed(values),
            Values::F16(values) => Cow::Owned(values.to_f32_vec()),
            Values::Bf16(values) => Cow::Owned(values.to_f32_vec()),
            Values::U8(values) => Cow::Owned(values.iter().copied().map(f32::from).collect()),
        }
    }

    /// The values in row-major order, without a copy if the element type is `f32`.
    pub fn into_f32(self) -> Vec<f32> {
        match self.values {
            Values::F32(values) => values,
            Values::F16(values) => values.to_f32_vec(),
            Values::Bf16(values) => values.to_f32_vec(),
            Values::U8(values) => values.into_iter().map(f32::from).collect(),
        }
    }

    /// A copy in another element type, each value rounded to the nearest.
    ///
    /// A value beyond ±65504 becomes infinite in `f16` (check with [`is_finite`](Self::is_finite)). In `u8`, values are
    /// clamped to 0..=255.
    pub fn cast(&self, dtype: Dtype) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        let values = self.to_f32();
        let values = match dtype {
            Dtype::F32 => Values::F32(values.into_owned()),
            Dtype::F16 => Values::F16(values.iter().copied().map(f16::from_f32).collect()),
            Dtype::Bf16 => Values::Bf16(values.iter().copied().map(bf16::from_f32).collect()),
            Dtype::U8 => Values::U8(values.iter().map(|value| value.round() as u8).collect()),
        };
        Self { shape: self.shape.clone(), values }
    }

    /// Whether all values are finite.
    pub fn is_finite(&self) -> bool {
        self.first_non_finite().is_none()
    }

    /// Row-major position and value of the first NaN or infinity.
    pub(crate) fn first_non_finite(&self) -> Option<(usize, f32)> {
        match &self.values {
            Values::F32(values) => find_non_finite(values.iter().copied()),
            Values::F16(values) => find_non_finite(values.iter().map(|value| value.to_f32())),
            Values::Bf16(values) => find_non_finite(values.iter().map(|value| value.to_f32())),
            Values::U8(_) => None,
        }
    }

    /// The values' little-endian bytes.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.byte_len());
        self.write_le_bytes(&mut bytes);
        bytes
    }

    /// Appends the values' little-endian bytes.
    pub(crate) fn write_le_bytes(&self, bytes: &mut Vec<u8>) {
        match &self.values {
            Values::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Values::F16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Values::Bf16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Values::U8(values) => bytes.extend(values),
        }
    }
}

fn find_non_finite(mut values: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    let mut index = 0;
    values
        .find(|value| {
            index += 1;
            !value.is_finite()
        })
        .map(|value| (index - 1, value))
}

/// The product of the extents and `size`.
fn product(shape: &[usize], size: usize) -> Result<usize, RecordError> {
    shape
        .iter()
        .try_fold(size, |product, &extent| product.checked_mul(extent))
        .ok_or_else(|| RecordError::TooLarge { shape: shape.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        let error = HostTensor::from_f32([2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [2, 3] needs 6 values, but 5 were given");
        let error = HostTensor::from_f32([usize::MAX, 2], vec![]).unwrap_err();
        assert!(matches!(error, RecordError::TooLarge { .. }));
    }

    #[test]
    fn a_scalar_and_an_empty_tensor_are_tensors() {
        assert_eq!(HostTensor::from_f32([], vec![1.0]).unwrap().len(), 1);
        assert!(HostTensor::from_f32([0, 4], vec![]).unwrap().is_empty());
    }

    #[test]
    fn casting_rounds_and_knows_its_bytes() {
        let values = vec![1.0, -0.5, 1.0 / 3.0, 70_000.0];
        let single = HostTensor::from_f32([4], values).unwrap();
        assert_eq!((single.byte_len(), single.dtype()), (16, Dtype::F32));

        let half = single.cast(Dtype::F16);
        assert_eq!((half.byte_len(), half.dtype()), (8, Dtype::F16));
        assert_eq!(half.to_f32()[..3], [1.0, -0.5, 0.333_251_95]);
        assert_eq!(half.first_non_finite(), Some((3, f32::INFINITY)));
        assert!(!half.is_finite());

        let brain = single.cast(Dtype::Bf16);
        assert_eq!(brain.to_f32()[..3], [1.0, -0.5, 0.333_984_38]);
        assert!(brain.is_finite());
        assert_eq!(brain.cast(Dtype::F32).into_f32()[3], 70_144.0);
    }

    #[test]
    fn bytes_are_a_tensor() {
        let bytes = HostTensor::from_bytes(vec![0, 7, 255]);
        assert_eq!((bytes.shape(), bytes.byte_len(), bytes.dtype()), (&[3][..], 3, Dtype::U8));
        assert_eq!(
            (bytes.as_bytes(), bytes.to_le_bytes()),
            (Some(&[0, 7, 255][..]), vec![0, 7, 255])
        );
        assert_eq!(bytes.to_f32()[..], [0.0, 7.0, 255.0]);
        assert_eq!(bytes.cast(Dtype::F32).as_bytes(), None);
        let wide = HostTensor::from_f32([4], vec![-1.0, 6.6, 300.0, f32::NAN]).unwrap();
        assert_eq!(wide.cast(Dtype::U8).as_bytes(), Some(&[0, 7, 255, 0][..]));
        assert!(HostTensor::from_le_bytes(Dtype::U8, [3], &[1, 2]).is_err());
    }

    #[test]
    fn a_wrong_number_of_bytes_is_refused() {
        assert!(HostTensor::from_le_bytes(Dtype::F32, [1], &[0; 3]).is_err());
        assert!(HostTensor::from_le_bytes(Dtype::F16, [2], &[0; 3]).is_err());
        assert!(HostTensor::from_le_bytes(Dtype::F16, [2], &[0; 4]).is_ok());
    }
}
