//! Conversion of records to and from safetensors bytes.

use std::collections::BTreeMap;

use safetensors::tensor::TensorInfo;
use serde::{Serialize, Serializer};

use super::header::{self, Header, METADATA_KEY};
use super::{Element, HostTensor, ParameterRecord, RecordError};

/// safetensors requires a header whose length is a multiple of this, so that the values are aligned.
const HEADER_ALIGNMENT: usize = 8;

/// Reads the metadata map in the header of safetensors bytes; empty if there is none.
///
/// # Errors
/// [`RecordError::Format`] if the bytes are not safetensors.
pub fn read_metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, RecordError> {
    Ok(split(bytes)?.0.metadata)
}

/// The header, and the values after it.
fn split(bytes: &[u8]) -> Result<(Header, &[u8]), RecordError> {
    let parse = || {
        let length = header::length(bytes, bytes.len() as u64)?;
        let (header, values) = bytes[header::LENGTH_BYTES..].split_at(length);
        Ok((Header::parse(header, values.len() as u64)?, values))
    };
    parse().map_err(RecordError::Format)
}

/// The bytes before the values in a safetensors file of these tensors, for files whose values are written piece by
/// piece: little-endian, row-major, in this order.
pub fn head<'a>(
    tensors: impl IntoIterator<Item = (&'a str, Element, &'a [usize])>,
    metadata: &'a BTreeMap<String, String>,
) -> Vec<u8> {
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        entries.push((METADATA_KEY, Entry::Metadata(metadata)));
    }
    let mut offset = 0;
    for (name, element, shape) in tensors {
        let end = offset + shape.iter().product::<usize>() * element.size();
        let dtype = element.safetensors_name();
        entries.push((name, Entry::Tensor { dtype, shape, data_offsets: [offset, end] }));
        offset = end;
    }
    let mut header = serde_json::to_vec(&WrittenHeader(entries))
        .expect("maps with string keys have a JSON form");
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes
}

impl ParameterRecord {
    /// The record as safetensors bytes. Equal records give equal bytes, whatever the order in which their tensors were
    /// inserted.
    pub fn to_safetensors(&self) -> Vec<u8> {
        self.to_safetensors_with(&BTreeMap::new())
    }

    /// Like [`to_safetensors`](Self::to_safetensors), with a metadata map in the header (Hugging Face's loaders expect
    /// `format = pt` there).
    // The header is not written by the `safetensors` crate, because that keeps metadata in a `HashMap`: with two keys,
    // the bytes of the same record would differ between processes.
    pub fn to_safetensors_with(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut tensors: Vec<_> = self.iter().collect();
        // The order of the `safetensors` crate: wider elements first keeps every tensor aligned.
        tensors.sort_by(|(left_name, left), (right_name, right)| {
            right.dtype().size().cmp(&left.dtype().size()).then_with(|| left_name.cmp(right_name))
        });

        let mut bytes = head(
            tensors.iter().map(|(name, tensor)| (*name, tensor.dtype().into(), tensor.shape())),
            metadata,
        );
        bytes.reserve_exact(tensors.iter().map(|(_, tensor)| tensor.byte_len()).sum());
        for (_, tensor) in tensors {
            tensor.write_le_bytes(&mut bytes);
        }
        bytes
    }

    /// Reads the bytes of a safetensors file; tensors come in the order of their names.
    ///
    /// # Errors
    /// [`RecordError::Format`] for truncated bytes, duplicate names, overlapping or missing ranges, and lengths that do
    /// not fit their shapes; [`RecordError::UnsupportedDtype`] for an element type other than F32, F16, BF16.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, RecordError> {
        let (header, values) = split(bytes)?;
        let mut record = Self::new();
        for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in header.tensors {
            let dtype = header::element_type(&name, dtype)?;
            record.insert(name, HostTensor::from_le_bytes(dtype, shape, &values[from..to])?)?;
        }
        Ok(record)
    }
}

/// A JSON object whose keys keep the given order.
struct WrittenHeader<'a>(Vec<(&'a str, Entry<'a>)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Tensor { dtype: &'static str, shape: &'a [usize], data_offsets: [usize; 2] },
}

impl Serialize for WrittenHeader<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, entry)| (key, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dtype;
    use super::*;

    fn record() -> ParameterRecord {
        let mut record = ParameterRecord::new();
        let tensor = |shape: [usize; 2], start: f32| {
            let values = (0..shape[0] * shape[1]).map(|i| start + i as f32 / 8.0);
            HostTensor::from_f32(shape, values.collect()).unwrap()
        };
        record.insert("z", tensor([1, 3], -1.0).cast(Dtype::F16)).unwrap();
        record.insert("b", tensor([2, 3], 0.5)).unwrap();
        record.insert("m", tensor([3, 1], 7.0).cast(Dtype::Bf16)).unwrap();
        record.insert("a", tensor([4, 2], 2.0)).unwrap();
        record
    }

    /// A file with one tensor `w`, the given header and the given values.
    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        let record = record();
        let read = ParameterRecord::from_safetensors(&record.to_safetensors()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.names().collect::<Vec<_>>(), ["a", "b", "m", "z"]);
        assert_eq!(read.get("m").unwrap().dtype(), Dtype::Bf16);
        let empty = ParameterRecord::new();
        assert_eq!(ParameterRecord::from_safetensors(&empty.to_safetensors()).unwrap(), empty);
    }

    #[test]
    fn the_bytes_are_those_of_the_safetensors_crate() {
        use safetensors::tensor::TensorView;
        let values: Vec<u8> = [1.5_f32, -2.0, 3.25].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = |name, shape| (name, TensorView::new(safetensors::Dtype::F32, shape, &values));
        let views = [view("b", vec![3]), view("a", vec![1, 3])];
        let theirs = safetensors::serialize(
            views.map(|(name, view)| (name, view.unwrap())),
            Some([("format".to_owned(), "pt".to_owned())].into()),
        )
        .unwrap();

        let tensor =
            |shape: &[usize]| HostTensor::from_le_bytes(Dtype::F32, shape, &values).unwrap();
        let mut record = ParameterRecord::new();
        record.insert("b", tensor(&[3])).unwrap();
        record.insert("a", tensor(&[1, 3])).unwrap();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        assert_eq!(record.to_safetensors_with(&metadata), theirs);
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_of_insertion() {
        let record = record();
        let mut tensors: Vec<_> = record.iter().collect();
        tensors.reverse();
        let mut reversed = ParameterRecord::new();
        for (name, tensor) in tensors {
            reversed.insert(name, tensor.clone()).unwrap();
        }
        assert_eq!(reversed, record);
        assert_eq!(reversed.to_safetensors(), record.to_safetensors());
    }

    #[test]
    fn metadata_comes_back() {
        let metadata: BTreeMap<_, _> = [("format", "pt"), ("r", "2"), ("quote", "\"é\n")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let bytes = record().to_safetensors_with(&metadata);
        assert_eq!(read_metadata(&bytes).unwrap(), metadata);
        assert_eq!(ParameterRecord::from_safetensors(&bytes).unwrap(), record());
        assert!(read_metadata(&record().to_safetensors()).unwrap().is_empty());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = record().to_safetensors();
        for end in 0..bytes.len() {
            let error = ParameterRecord::from_safetensors(&bytes[..end]).unwrap_err();
            assert!(matches!(error, RecordError::Format(_)), "{end}: {error}");
        }
    }

    #[test]
    fn lies_about_lengths_are_errors() {
        for header in [
            // four values by shape, one by offsets
            r#"{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}"#,
            // beyond the end
            r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            // backwards
            r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            // the same name twice
            r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#,
            // too many axes
            r#"{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
            // overflow
            r#"{"w":{"dtype":"F32","shape":[18446744073709551615,9],"data_offsets":[0,4]}}"#,
        ] {
            let error = ParameterRecord::from_safetensors(&file(header, &[0; 4])).unwrap_err();
            assert!(matches!(error, RecordError::Format(_)), "{header}: {error}");
        }
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.extend([b'{'; 16]);
        assert!(ParameterRecord::from_safetensors(&huge).is_err());
    }

    #[test]
    fn another_element_type_is_named() {
        let header = r#"{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let error = ParameterRecord::from_safetensors(&file(header, &[0; 8])).unwrap_err();
        assert!(error.to_string().starts_with("tensor `w` has element type I64"), "{error}");
    }
}
