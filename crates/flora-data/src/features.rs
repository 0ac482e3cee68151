//! What a frozen image tower made of the images.

use flora_core::{Dtype, HostTensor, TensorFile};

use crate::Error;

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
    /// When `i` is not below [`len`](Features::len).
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// The same, each number rounded to what `dtype` can hold.
    #[must_use]
    pub fn rounded(self, dtype: Dtype) -> Self {
        if dtype == Dtype::F32 {
            return self;
        }
        let Self { dim, values } = self;
        let tensor = HostTensor::from_f32([values.len()], values).expect("its own length");
        Self { dim, values: tensor.cast(dtype).into_f32() }
    }

    /// What is wrong with the first row, counted from `first`, that has a number that is none.
    pub(crate) fn not_finite(&self, first: usize) -> Option<String> {
        let at = self.values.iter().position(|value| !value.is_finite())?;
        let sample = first + at / self.dim;
        Some(format!("the features of sample {sample} contain {}", self.values[at]))
    }
}

/// Image features wherever they lie.
#[derive(Debug)]
pub enum FeatureRows {
    /// In memory.
    Memory(Features),
    /// In a file, of which rows are read when they are asked for.
    File(FeatureFile),
}

/// Image features in a file of the [`FeatureCache`](crate::FeatureCache). The system keeps what is read
/// often; the program needs memory only for the rows at hand.
#[derive(Debug)]
pub struct FeatureFile {
    file: TensorFile,
    rows: usize,
    dim: usize,
}

/// The name of the tensor in the file.
pub(crate) const TENSOR: &str = "image_features";

impl FeatureFile {
    /// The features of a file, or what is wrong with it.
    pub(crate) fn new(file: TensorFile) -> Result<Self, String> {
        match file.shape(TENSOR) {
            Some(&[rows, dim]) if dim > 0 => Ok(Self { file, rows, dim }),
            Some(shape) => Err(format!("its shape is {shape:?}")),
            None => Err(format!("it holds no tensor {TENSOR:?}")),
        }
    }

    pub(crate) fn dtype(&self) -> Result<Dtype, String> {
        self.file.dtype(TENSOR).map_err(|error| error.to_string())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn gather(&self, rows: &[usize]) -> Result<Vec<f32>, Error> {
        let parts = rows.iter().map(|&row| row..row + 1);
        Ok(self.file.gather(TENSOR, parts)?.into_f32())
    }

    /// A run of rows.
    pub(crate) fn read(&self, rows: std::ops::Range<usize>) -> Result<Features, Error> {
        let values = self.file.read_rows(TENSOR, rows)?.into_f32();
        Ok(Features { dim: self.dim, values })
    }
}

impl FeatureRows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(features) => features.len(),
            Self::File(file) => file.rows,
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
        }
    }

    /// The features of some samples, `[rows.len(), dim]`, row-major.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more.
    ///
    /// # Panics
    ///
    /// When a row is not below [`len`](FeatureRows::len).
    pub fn gather(&self, rows: &[usize]) -> Result<Vec<f32>, Error> {
        match self {
            Self::Memory(features) => {
                Ok(rows.iter().flat_map(|&row| features.row(row)).copied().collect())
            }
            Self::File(file) => file.gather(rows),
        }
    }

    /// All of them in memory.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more.
    pub fn into_memory(self) -> Result<Features, Error> {
        match self {
            Self::Memory(features) => Ok(features),
            Self::File(file) => file.read(0..file.rows),
        }
    }
}

impl From<Features> for FeatureRows {
    fn from(features: Features) -> Self {
        Self::Memory(features)
    }
}
