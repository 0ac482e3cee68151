use std::fmt;

/// The type of a tensor's elements. [`Display`](fmt::Display) names it as PyTorch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum ElementType {
    F32,
    F16,
    BF16,
    F64,
    F8E4M3,
    F8E5M2,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    Complex64,
    Complex128,
}

impl ElementType {
    /// From the name of a storage class, such as `FloatStorage`.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::BF16,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            "ComplexFloatStorage" => Self::Complex64,
            "ComplexDoubleStorage" => Self::Complex128,
            _ => return None,
        })
    }

    /// From the name of a `torch.dtype`, by which types without a storage class are described.
    pub(crate) fn of_dtype(name: &str) -> Option<Self> {
        Some(match name {
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::BF16,
            "float64" => Self::F64,
            "float8_e4m3fn" => Self::F8E4M3,
            "float8_e5m2" => Self::F8E5M2,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint64" => Self::U64,
            "uint32" => Self::U32,
            "uint16" => Self::U16,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            "complex64" => Self::Complex64,
            "complex128" => Self::Complex128,
            _ => return None,
        })
    }

    /// Size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Complex128 => 16,
            Self::F64 | Self::I64 | Self::U64 | Self::Complex64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The conversion to f32, for types that f32 can represent.
    pub(crate) fn float(self) -> Option<Float> {
        match self {
            Self::F32 => Some(Float::F32),
            Self::F16 => Some(Float::F16),
            Self::BF16 => Some(Float::BF16),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "torch.float32",
            Self::F16 => "torch.float16",
            Self::BF16 => "torch.bfloat16",
            Self::F64 => "torch.float64",
            Self::F8E4M3 => "torch.float8_e4m3fn",
            Self::F8E5M2 => "torch.float8_e5m2",
            Self::I64 => "torch.int64",
            Self::I32 => "torch.int32",
            Self::I16 => "torch.int16",
            Self::I8 => "torch.int8",
            Self::U64 => "torch.uint64",
            Self::U32 => "torch.uint32",
            Self::U16 => "torch.uint16",
            Self::U8 => "torch.uint8",
            Self::Bool => "torch.bool",
            Self::Complex64 => "torch.complex64",
            Self::Complex128 => "torch.complex128",
        })
    }
}

/// The element types that are read as f32.
#[derive(Clone, Copy)]
pub(crate) enum Float {
    F32,
    F16,
    BF16,
}

impl Float {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Append the values of little-endian `bytes`, a whole number of elements, to `out`.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F32 => out.extend(chunks(bytes).map(f32::from_le_bytes)),
            Self::F16 => out.extend(chunks(bytes).map(|b| half::f16::from_le_bytes(b).to_f32())),
            Self::BF16 => out.extend(chunks(bytes).map(|b| half::bf16::from_le_bytes(b).to_f32())),
        }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}
