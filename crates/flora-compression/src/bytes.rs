//! Reading the fields of a message in order.

use crate::error::CodecError;

/// Takes fields off the front of a message.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// The length of the whole message.
    length: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, length: bytes.len() }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`CodecError::Length`] if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let missing = || {
            let before = self.length - self.rest.len();
            CodecError::Length { expected: before.saturating_add(count), actual: self.length }
        };
        let (field, rest) = self.rest.split_at_checked(count).ok_or_else(missing)?;
        self.rest = rest;
        Ok(field)
    }

    /// The next `count` numbers as written by [`write_scales`].
    ///
    /// # Errors
    /// [`CodecError::Length`] if there are fewer, [`CodecError::Damaged`] if one is negative, NaN or infinite.
    pub(crate) fn scales(&mut self, count: usize) -> Result<Vec<f32>, CodecError> {
        let bytes = self.take(count.checked_mul(4).ok_or(CodecError::TooLarge)?)?;
        let scales: Vec<f32> =
            bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
        if !scales.iter().all(|scale| scale.is_finite() && *scale >= 0.0) {
            return Err(CodecError::Damaged("a scale is not a finite number of 0 or more"));
        }
        Ok(scales)
    }

    /// All remaining bytes.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Encodes scales as little-endian `f32`.
pub(crate) fn write_scales(scales: impl IntoIterator<Item = f32>) -> Vec<u8> {
    scales.into_iter().flat_map(f32::to_le_bytes).collect()
}
