//! A safetensors file whose tensors are read one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use safetensors::tensor::TensorInfo;

use super::header::{self, Header};
use super::{Dtype, HostTensor, RecordError};

/// A safetensors file of which only the header has been read. A tensor's values are read on request, so loading a model
/// never needs memory for the whole file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: Mutex<File>,
    header: Header,
    /// File offset of the first value.
    start: u64,
}

impl TensorFile {
    /// Reads the header of a file and checks it against the file's length.
    ///
    /// # Errors
    ///
    /// [`RecordError::Read`], and [`RecordError::File`] around [`RecordError::Format`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordError> {
        let path = path.as_ref();
        let read = |source| RecordError::Read { path: path.to_owned(), source };
        let format = |problem| RecordError::File {
            path: path.to_owned(),
            source: Box::new(RecordError::Format(problem)),
        };
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut first = Vec::with_capacity(header::LENGTH_BYTES);
        (&file).take(header::LENGTH_BYTES as u64).read_to_end(&mut first).map_err(read)?;
        let header_length = header::length(&first, length).map_err(format)?;
        let mut bytes = vec![0; header_length];
        file.read_exact(&mut bytes).map_err(read)?;
        let start = (header::LENGTH_BYTES + header_length) as u64;
        let header = Header::parse(&bytes, length - start).map_err(format)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), header, start })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, in alphabetical order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// The metadata map in the header; empty if there is none.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The element type of a tensor.
    ///
    /// # Errors
    ///
    /// [`RecordError::Missing`] and [`RecordError::UnsupportedDtype`].
    pub fn dtype(&self, name: &str) -> Result<Dtype, RecordError> {
        header::element_type(name, self.info(name)?.dtype)
    }

    /// The shape of a tensor, if the file has one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// Reads a tensor.
    ///
    /// # Errors
    ///
    /// [`RecordError::Missing`], [`RecordError::UnsupportedDtype`], and [`RecordError::Read`] if the file cannot be
    /// read any more.
    pub fn read(&self, name: &str) -> Result<HostTensor, RecordError> {
        let info = self.info(name)?;
        let (from, to) = info.data_offsets;
        let dtype = self.dtype(name)?;
        let mut bytes = vec![0; to - from];
        self.read_at(from as u64, &mut bytes)?;
        HostTensor::from_le_bytes(dtype, info.shape.clone(), &bytes)
    }

    /// Reads a range of rows (first axis) of a tensor.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Panics if the tensor does not have these rows.
    pub fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<HostTensor, RecordError> {
        self.gather(name, std::iter::once(rows))
    }

    /// Reads several ranges of rows (first axis) of a tensor and concatenates them.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// Panics if the tensor does not have these rows.
    pub fn gather(
        &self,
        name: &str,
        parts: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<HostTensor, RecordError> {
        let dtype = self.dtype(name)?;
        let mut shape = self.info(name)?.shape.clone();
        let mut height = 0;
        let parts = parts.into_iter().inspect(|rows| height += rows.len());
        let bytes = self.gather_bytes(name, parts)?;
        shape[0] = height;
        HostTensor::from_le_bytes(dtype, shape, &bytes)
    }

    /// Like [`gather`](Self::gather), but returns the bytes of the file unconverted, for any element type.
    ///
    /// # Errors
    ///
    /// [`RecordError::Missing`], and [`RecordError::Read`] if the file cannot be read any more.
    ///
    /// # Panics
    ///
    /// Panics if the tensor does not have these rows.
    pub fn gather_bytes(
        &self,
        name: &str,
        parts: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<Vec<u8>, RecordError> {
        let info = self.info(name)?;
        let &height = info.shape.first().unwrap_or_else(|| panic!("{name} is a scalar"));
        let (from, to) = info.data_offsets;
        let row = (to - from).checked_div(height).unwrap_or(0);
        let mut bytes = Vec::new();
        for rows in parts {
            let there = rows.start <= rows.end && rows.end <= height;
            assert!(there, "{name} has {height} rows: {rows:?}");
            let place = bytes.len();
            bytes.resize(place + rows.len() * row, 0);
            self.read_at((from + rows.start * row) as u64, &mut bytes[place..])?;
        }
        Ok(bytes)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, RecordError> {
        self.header
            .tensors
            .get(name)
            .ok_or_else(|| RecordError::Missing { name: name.to_owned(), shape: Vec::new() })
    }

    /// Reads from `offset`, counted from the first value.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), RecordError> {
        // A thread that panicked while it held the lock leaves no partial state.
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        file.seek(SeekFrom::Start(self.start + offset))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|source| RecordError::Read { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParameterRecord;

    fn record() -> ParameterRecord {
        let mut record = ParameterRecord::new();
        let values = (0..12).map(|value| value as f32).collect();
        record.insert("a", HostTensor::from_f32([6, 2], values).unwrap()).unwrap();
        let halves = HostTensor::from_f32([3], vec![0.5, 1.5, -2.0]).unwrap().cast(Dtype::F16);
        record.insert("b", halves).unwrap();
        record
    }

    #[test]
    fn tensors_and_their_rows_come_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        record().save(&path).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(file.shape("a"), Some([6, 2].as_slice()));
        assert_eq!(&file.read("b").unwrap(), record().get("b").unwrap());
        let middle = file.read_rows("a", 2..4).unwrap();
        assert_eq!(middle.shape(), [2, 2]);
        assert_eq!(middle.into_f32(), [4.0, 5.0, 6.0, 7.0]);
        let some = file.gather("a", [5..6, 0..2, 5..6]).unwrap();
        assert_eq!(some.shape(), [4, 2]);
        assert_eq!(some.into_f32(), [10.0, 11.0, 0.0, 1.0, 2.0, 3.0, 10.0, 11.0]);
        assert_eq!(file.gather("b", std::iter::once(2..3)).unwrap().into_f32(), [-2.0]);
        assert_eq!(file.dtype("b").unwrap(), Dtype::F16);
        let bytes: Vec<u8> = [4.0_f32, 5.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(file.gather_bytes("a", std::iter::once(2..3)).unwrap(), bytes);
        assert!(matches!(file.read("c"), Err(RecordError::Missing { .. })));
    }

    #[test]
    fn every_truncation_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let bytes = record().to_safetensors();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let error = TensorFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{end}: {error}");
        }
    }
}
