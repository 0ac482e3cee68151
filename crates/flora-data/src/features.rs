//! Image features of a frozen image tower.

use std::iter::once;
use std::ops::Range;

use flora_core::{Dtype, HostTensor, RecordError, TensorFile};

use crate::{ActivationFile, Error};

/// Image features in memory, one row per sample of the data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The width of a row.
    pub dim: usize,
    /// Row-major, `[samples, dim]`.
    pub values: Vec<f32>,
}

impl Features {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features of sample `i`, `[dim]`.
    ///
    /// # Panics
    ///
    /// Panics if `i` is not below [`len`](Features::len).
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// Rounds each value to `dtype`.
    #[must_use]
    pub fn rounded(self, dtype: Dtype) -> Self {
        if dtype == Dtype::F32 {
            return self;
        }
        let Self { dim, values } = self;
        let tensor = HostTensor::from_f32([values.len()], values).expect("its own length");
        Self { dim, values: tensor.cast(dtype).into_f32() }
    }

    /// Checks that there are whole rows.
    pub(crate) fn check_rows(&self) -> Result<(), Error> {
        let Self { dim, values } = self;
        if *dim > 0 && values.len().is_multiple_of(*dim) {
            return Ok(());
        }
        let problem = format!("{} numbers are not rows of {dim}", values.len());
        Err(Error::Features { problem })
    }

    /// A message about the first row, counted from `first`, with a value that is not finite.
    pub(crate) fn not_finite(&self, first: usize) -> Option<String> {
        let at = self.values.iter().position(|value| !value.is_finite())?;
        let sample = first + at / self.dim;
        Some(format!("the features of sample {sample} contain {}", self.values[at]))
    }
}

/// Image features in memory or on disk.
#[derive(Debug)]
pub enum FeatureRows {
    /// In memory.
    Memory(Features),
    /// In a file whose rows are read on request.
    File(FeatureFile),
    /// States within the tower, in a file.
    Activations(ActivationFile),
}

/// Image features in a file of the [`FeatureCache`](crate::FeatureCache). The operating system caches frequently read
/// parts; the program needs memory only for the requested rows.
///
/// Every row is checked against its checksum whenever it is read.
#[derive(Debug)]
pub struct FeatureFile {
    file: TensorFile,
    dim: usize,
    dtype: Dtype,
    /// One per row.
    checksums: Vec<u32>,
}

/// The name of the features in the file, `[rows, dim]`.
pub(crate) const TENSOR: &str = "image_features";

/// The name of the rows' checksums in the file, `[rows]`: the CRC-32 of each row's bytes.
pub(crate) const CHECKSUMS: &str = "crc32";

impl FeatureFile {
    /// The features of a file, or its problem.
    pub(crate) fn new(file: TensorFile) -> Result<Self, String> {
        let text = |error: RecordError| error.to_string();
        let (rows, dim) = match file.shape(TENSOR) {
            Some(&[rows, dim]) if dim > 0 => (rows, dim),
            Some(shape) => return Err(format!("its shape is {shape:?}")),
            None => return Err(format!("it holds no tensor {TENSOR:?}")),
        };
        let dtype = file.dtype(TENSOR).map_err(text)?;
        let checksums = match file.shape(CHECKSUMS) {
            Some(&[count]) if count == rows => {
                file.gather_bytes(CHECKSUMS, once(0..rows)).map_err(text)?
            }
            Some(shape) => return Err(format!("its checksums have the shape {shape:?}")),
            None => return Err("it has no checksums, as an older version of flora wrote it".into()),
        };
        let (checksums, rest) = checksums.as_chunks();
        if checksums.len() != rows || !rest.is_empty() {
            return Err("its checksums are not numbers of 4 bytes".into());
        }
        let checksums = checksums.iter().copied().map(u32::from_le_bytes).collect();
        Ok(Self { file, dim, dtype, checksums })
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(crate) fn rows(&self) -> usize {
        self.checksums.len()
    }

    pub(crate) fn gather(&self, rows: &[usize]) -> Result<Vec<f32>, Error> {
        let bytes = self.file.gather_bytes(TENSOR, rows.iter().map(|&row| row..row + 1))?;
        self.values(&bytes, rows.iter().copied())
    }

    /// Reads a range of rows.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<Features, Error> {
        let bytes = self.file.gather_bytes(TENSOR, once(rows.clone()))?;
        Ok(Features { dim: self.dim, values: self.values(&bytes, rows)? })
    }

    /// The values of `rows`, from their bytes.
    fn values(
        &self,
        bytes: &[u8],
        mut rows: impl Iterator<Item = usize>,
    ) -> Result<Vec<f32>, Error> {
        let width = self.dim * self.dtype.size();
        let mut read = bytes.chunks(width);
        let damaged = rows.find(|&row| {
            let bytes = read.next().expect("a row for each number");
            crc32fast::hash(bytes) != self.checksums[row]
        });
        if let Some(row) = damaged {
            return Err(Error::Damaged {
                file: self.file.path().to_owned(),
                problem: format!("the features of sample {row} do not match their checksum"),
                remedy: "run again to compute them anew".into(),
            });
        }
        let values =
            HostTensor::from_le_bytes(self.dtype, [bytes.len() / self.dtype.size()], bytes);
        Ok(values?.into_f32())
    }
}

impl FeatureRows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(features) => features.len(),
            Self::File(file) => file.rows(),
            Self::Activations(file) => file.rows(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The width of a row.
    pub fn dim(&self) -> usize {
        match self {
            Self::Memory(features) => features.dim,
            Self::File(file) => file.dim,
            Self::Activations(file) => file.dim(),
        }
    }

    /// The features of some samples, `[rows.len(), dim]`, row-major.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more, or that was damaged meanwhile.
    ///
    /// # Panics
    ///
    /// Panics if a row is not below [`len`](FeatureRows::len).
    pub fn gather(&self, rows: &[usize]) -> Result<Vec<f32>, Error> {
        match self {
            Self::Memory(features) => {
                Ok(rows.iter().flat_map(|&row| features.row(row)).copied().collect())
            }
            Self::File(file) => file.gather(rows),
            Self::Activations(file) => file.gather(rows),
        }
    }

    /// Reads all rows into memory.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more, or that was damaged meanwhile.
    pub fn into_memory(self) -> Result<Features, Error> {
        match self {
            Self::Memory(features) => Ok(features),
            Self::File(file) => file.read(0..file.rows()),
            Self::Activations(file) => {
                let rows: Vec<usize> = (0..file.rows()).collect();
                Ok(Features { dim: file.dim(), values: file.gather(&rows)? })
            }
        }
    }
}

impl From<Features> for FeatureRows {
    fn from(features: Features) -> Self {
        Self::Memory(features)
    }
}
