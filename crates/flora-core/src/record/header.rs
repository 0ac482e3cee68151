//! The header of a safetensors file: names, shapes and positions of its tensors.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Dtype, RecordError};

/// The header's key for metadata, which therefore cannot name a tensor.
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// Bytes of the header length, which precedes the header.
pub(super) const LENGTH_BYTES: usize = size_of::<u64>();

/// The largest header that is read: 80 times that of the largest CLIP. A parsed header takes several times its size in
/// memory, so the format's own limit of 100 MB would let a small file allocate far too much.
const MOST_HEADER_BYTES: u64 = 16 << 20;

/// No model has tensors with more axes. Without a limit, `[0,0,0,…]` would take four times its size in memory.
const MOST_AXES: usize = 8;

/// The tensors of a file by name, checked against the file's length: they are contiguous, without gap or overlap, and
/// each is as long as its shape and element type require.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) tensors: BTreeMap<String, TensorInfo>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// The length of the header, from the first bytes of a file of `file_length` bytes.
pub(super) fn length(first: &[u8], file_length: u64) -> Result<usize, String> {
    let bytes = first.first_chunk::<LENGTH_BYTES>().ok_or("shorter than 8 bytes")?;
    let length = u64::from_le_bytes(*bytes);
    if length > file_length.saturating_sub(LENGTH_BYTES as u64) {
        return Err(format!("a header of {length} bytes in a file of {file_length}"));
    }
    if length > MOST_HEADER_BYTES {
        return Err(format!("a header of {length} bytes; at most {MOST_HEADER_BYTES} are read"));
    }
    Ok(length as usize)
}

/// The element type of the tensor `name`, if a record can hold it.
pub(super) fn element_type(name: &str, dtype: safetensors::Dtype) -> Result<Dtype, RecordError> {
    match dtype {
        safetensors::Dtype::F32 => Ok(Dtype::F32),
        safetensors::Dtype::F16 => Ok(Dtype::F16),
        safetensors::Dtype::BF16 => Ok(Dtype::Bf16),
        other => {
            Err(RecordError::UnsupportedDtype { name: name.to_owned(), dtype: other.to_string() })
        }
    }
}

impl Header {
    /// Parses the header, which is followed by `data_length` bytes of values.
    pub(super) fn parse(bytes: &[u8], data_length: u64) -> Result<Self, String> {
        let header: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("its header: {error}"))?;
        header.check(data_length)?;
        Ok(header)
    }

    fn check(&self, data_length: u64) -> Result<(), String> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in tensors {
            let TensorInfo { dtype, shape, data_offsets: (from, to) } = info;
            let bits = shape
                .iter()
                .try_fold(dtype.bitsize(), |bits, &extent| bits.checked_mul(extent))
                .ok_or_else(|| format!("tensor {name:?} of shape {shape:?} is too large"))?;
            if *from != end {
                return Err(format!("tensor {name:?} starts at {from} instead of {end}"));
            }
            if bits % 8 != 0 || to.checked_sub(*from) != Some(bits / 8) {
                return Err(format!(
                    "tensor {name:?} lies at {from}..{to}, but {dtype} of shape {shape:?} takes {} bytes",
                    bits.div_ceil(8)
                ));
            }
            end = *to;
        }
        if end as u64 != data_length {
            return Err(format!("its tensors take {end} bytes, but there are {data_length}"));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Entry {
    dtype: safetensors::Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

struct Shape(Vec<usize>);

/// Reads entries in order and refuses duplicates. The `safetensors` crate reads the header into a map, where the last
/// of two tensors of one name silently wins.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { tensors: BTreeMap::new(), metadata: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA_KEY {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    let Entry { dtype, shape: Shape(shape), data_offsets } = map.next_value()?;
                    match header.tensors.entry(name) {
                        btree_map::Entry::Vacant(entry) => {
                            entry.insert(TensorInfo { dtype, shape, data_offsets });
                        }
                        btree_map::Entry::Occupied(entry) => {
                            let problem = format!("tensor {:?} is there twice", entry.key());
                            return Err(A::Error::custom(problem));
                        }
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Axes;
        impl<'de> Visitor<'de> for Axes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_AXES} extents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut axes: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(extent) = axes.next_element()? {
                    if shape.len() == MOST_AXES {
                        return Err(A::Error::invalid_length(MOST_AXES + 1, &self));
                    }
                    shape.push(extent);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Axes)
    }
}
