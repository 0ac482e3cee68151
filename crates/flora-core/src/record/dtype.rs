use std::fmt;

use serde::{Deserialize, Serialize};

/// The element type of a [`HostTensor`](super::HostTensor).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// IEEE 754 half precision, 2 bytes; largest finite value 65504.
    F16,
    /// bfloat16: the upper half of an `f32`, 2 bytes.
    Bf16,
    /// One byte, for encoded data such as a compressed update. As a number, 0 to 255. Tensor files are not read with
    /// this type.
    U8,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }
}

/// The element type of a tensor in a file, which may be one that a record cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// An element type that records hold.
    Float(Dtype),
    /// An unsigned integer of 4 bytes, for checksums. [`TensorFile`](super::TensorFile) reads it as bytes.
    U32,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Float(dtype) => dtype.size(),
            Self::U32 => 4,
        }
    }

    /// The name in a safetensors header.
    pub(crate) fn safetensors_name(self) -> &'static str {
        match self {
            Self::Float(Dtype::F32) => "F32",
            Self::Float(Dtype::F16) => "F16",
            Self::Float(Dtype::Bf16) => "BF16",
            Self::Float(Dtype::U8) => "U8",
            Self::U32 => "U32",
        }
    }
}

impl From<Dtype> for Element {
    fn from(dtype: Dtype) -> Self {
        Self::Float(dtype)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
        })
    }
}
