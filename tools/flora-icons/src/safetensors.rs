//! A safetensors file with one tensor, written row by row.
//!
//! The format is described at <https://huggingface.co/docs/safetensors>: the length of a JSON header as a little-endian
//! `u64`, the header, then the bytes of the tensors.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::output::Pending;

/// Room for the header, which is written last: only then is the number of rows known. The format allows trailing spaces.
const HEADER_BYTES: usize = 256;

/// A tensor of bytes of shape `[rows, row...]` whose number of rows grows while it is written.
pub(crate) struct RowWriter {
    file: Pending,
    name: &'static str,
    row: Vec<usize>,
    rows: usize,
}

impl RowWriter {
    /// Opens a file for a tensor `name` whose rows have the shape `row`.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn create(path: &Path, name: &'static str, row: &[usize]) -> Result<Self> {
        let mut file = Pending::create(path)?;
        file.writer().write_all(&[0; 8 + HEADER_BYTES]).map_err(Error::write(path))?;
        Ok(Self { file, name, row: row.to_vec(), rows: 0 })
    }

    /// Appends one row.
    ///
    /// # Errors
    ///
    /// [`Error::Write`], and [`Error::Mismatch`] for a row of another size.
    pub(crate) fn push(&mut self, row: &[u8]) -> Result<()> {
        let expected: usize = self.row.iter().product();
        if row.len() != expected {
            return Err(Error::mismatch(
                self.name,
                format!("a row has {} bytes instead of {expected}", row.len()),
            ));
        }
        self.rows += 1;
        let path = self.file.path().to_owned();
        self.file.writer().write_all(row).map_err(Error::write(path))
    }

    /// Writes the header, and gives the file its name.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn finish(mut self) -> Result<usize> {
        let mut shape = vec![self.rows];
        shape.extend(&self.row);
        let bytes: usize = shape.iter().product();
        let header = serde_json::json!({
            self.name: { "dtype": "U8", "shape": shape, "data_offsets": [0, bytes] }
        });
        let header = format!("{:<HEADER_BYTES$}", header.to_string());
        let path = self.file.path().to_owned();
        let writer = self.file.writer();
        writer
            .seek(SeekFrom::Start(0))
            .and_then(|_| writer.write_all(&(header.len() as u64).to_le_bytes()))
            .and_then(|()| writer.write_all(header.as_bytes()))
            .map_err(Error::write(path))?;
        self.file.commit()?;
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::{Dtype, SafeTensors};

    #[test]
    fn the_reference_implementation_reads_what_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("pairs.safetensors");
        let mut writer = RowWriter::create(&path, "images", &[2, 2]).expect("opened");
        for row in 0..3_u8 {
            writer.push(&[row, 1, 2, 3]).expect("written");
        }
        assert_eq!(writer.finish().expect("finished"), 3);
        let bytes = std::fs::read(&path).expect("read");
        let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let images = tensors.tensor("images").expect("the tensor");
        assert_eq!((images.dtype(), images.shape()), (Dtype::U8, [3, 2, 2].as_slice()));
        assert_eq!(images.data(), [0, 1, 2, 3, 1, 1, 2, 3, 2, 1, 2, 3]);
    }

    #[test]
    fn a_row_of_another_size_is_refused_and_an_unfinished_file_never_appears() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("pairs.safetensors");
        let mut writer = RowWriter::create(&path, "images", &[4]).expect("opened");
        assert!(writer.push(&[1, 2]).is_err());
        drop(writer);
        assert!(!path.exists());
    }
}
