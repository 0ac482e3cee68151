//! Image features on the disk, found again by everything that determines them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::record::{self, Element, HostTensor};
use flora_core::{Dtype, RecordError, TensorFile, files, hex};
use sha2::{Digest, Sha256};

use crate::features::{CHECKSUMS, TENSOR};
use crate::{Error, FeatureFile, Features};

/// Rows that are written or checked at a time.
const BLOCK: usize = 4096;

/// Everything that determines image features, each as a digest or another exact description.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeatureKey {
    /// The weights and configuration of the image tower.
    pub checkpoint: String,
    /// Size, filter, crop, mean and deviation.
    pub preprocessing: String,
    /// The images: [`Dataset::fingerprint`](crate::Dataset::fingerprint).
    pub data: String,
}

impl FeatureKey {
    /// SHA-256 of the key, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (_, value) in self.fields() {
            // The length keeps (ab, c) and (a, bc) apart.
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value.as_bytes());
        }
        hex::encode(&hash.finalize())
    }

    fn fields(&self) -> [(&'static str, &str); 3] {
        [
            ("checkpoint", &self.checkpoint),
            ("preprocessing", &self.preprocessing),
            ("data", &self.data),
        ]
    }
}

/// The result of a lookup.
#[derive(Debug)]
pub enum Lookup {
    /// The features.
    Hit(FeatureFile),
    /// Nothing.
    Miss,
    /// A file that is damaged, belongs to another key or has no checksums: a message for the user.
    /// Storing the features anew replaces it.
    Damaged(String),
}

/// A folder of `features-<digest>.safetensors` files, one for each [`FeatureKey`]: the tensor
/// `image_features`, and `crc32` with the checksum of each row. [`load`](Self::load) reads the whole file
/// once and checks it. [`begin`](Self::begin) computes what is not there. States within the tower, which are more
/// than fit into memory, are in files `activations-<digest>.rows`; see [`begin_activations`](Self::begin_activations).
#[derive(Debug, Clone)]
pub struct FeatureCache {
    pub(crate) dir: PathBuf,
    dtype: Dtype,
}

impl FeatureCache {
    /// A cache in `dir`, which is made when something is stored. Numbers are kept as they are, in
    /// [`Dtype::F32`].
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), dtype: Dtype::F32 }
    }

    /// The same, with each number rounded to `dtype`, in files of their own.
    #[must_use]
    pub fn with_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }

    /// What numbers are rounded to.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Where the files are, or will be.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The file that belongs to `key`.
    pub fn path(&self, key: &FeatureKey) -> PathBuf {
        self.file("features", key, "safetensors")
    }

    pub(crate) fn file(&self, what: &str, key: &FeatureKey, extension: &str) -> PathBuf {
        let digest = key.digest();
        let kind = match self.dtype {
            Dtype::F32 => "",
            Dtype::F16 => "-f16",
            Dtype::Bf16 => "-bf16",
            Dtype::U8 => "-u8",
        };
        self.dir.join(format!("{what}-{}{kind}.{extension}", &digest[..16]))
    }

    /// Look up the features of `expected_rows` samples, and check every row.
    ///
    /// # Errors
    ///
    /// [`Error::Record`] when there is a file but it cannot be read. A file that can be read but not used is
    /// [`Lookup::Damaged`], because computing the features again is all it takes.
    pub fn load(&self, key: &FeatureKey, expected_rows: usize) -> Result<Lookup, Error> {
        let file = match TensorFile::open(self.path(key)) {
            Ok(file) => self.check(file, key, expected_rows),
            Err(RecordError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Lookup::Miss);
            }
            Err(error @ RecordError::Read { .. }) => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        };
        Ok(match file {
            Ok(file) => Lookup::Hit(file),
            Err(problem) => Lookup::Damaged(format!(
                "{}: {problem}; the image features are computed again",
                self.path(key).display()
            )),
        })
    }

    /// Store features, rounded to the cache's type, and open the file.
    ///
    /// # Errors
    ///
    /// [`Error::Features`] when they are not whole rows of finite numbers, [`Error::Io`] when the file
    /// cannot be written.
    pub fn store(&self, key: &FeatureKey, features: &Features) -> Result<FeatureFile, Error> {
        features.check_rows()?;
        let dim = features.dim;
        // Not all at once: in bytes they take as much memory again.
        let blocks = || {
            let blocks = features.values.chunks(BLOCK * dim).map(<[f32]>::to_vec);
            blocks.map(|values| Features { dim, values })
        };
        let mut checksums = Vec::with_capacity(features.len() * Element::U32.size());
        for (at, block) in blocks().enumerate() {
            let (_, bytes) = self.round(block, at * BLOCK)?;
            let rows = bytes.chunks(dim * self.dtype.size());
            checksums.extend(rows.flat_map(|row| crc32fast::hash(row).to_le_bytes()));
        }
        let path = self.path(key);
        let (rows, shape) = ([features.len()], [features.len(), dim]);
        let metadata = key.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let metadata = BTreeMap::from(metadata);
        // The wider elements first, so that both are aligned.
        let tensors =
            [(CHECKSUMS, Element::U32, &rows[..]), (TENSOR, self.dtype.into(), &shape[..])];
        let head = record::head(tensors, &metadata);
        files::write_atomic_with(&path, |out| {
            out.write_all(&head)?;
            out.write_all(&checksums)?;
            blocks().try_for_each(|block| out.write_all(&self.bytes(block.values)))
        })
        .map_err(Error::io("write", &path))?;
        let file = TensorFile::open(&path)?;
        FeatureFile::new(file).map_err(|problem| Error::Features { problem })
    }

    /// `rows`, the first of which has the number `first`, as numbers and bytes of the cache's type.
    pub(crate) fn round(&self, rows: Features, first: usize) -> Result<(Features, Vec<u8>), Error> {
        rows.check_rows()?;
        let rows = rows.rounded(self.dtype);
        if let Some(problem) = rows.not_finite(first) {
            return Err(Error::Features { problem });
        }
        let bytes = self.bytes(rows.values.clone());
        Ok((rows, bytes))
    }

    pub(crate) fn bytes(&self, values: Vec<f32>) -> Vec<u8> {
        let tensor = HostTensor::from_f32([values.len()], values);
        tensor.expect("its own length").cast(self.dtype).to_le_bytes()
    }

    /// The features of a file, or what is wrong with it.
    fn check(
        &self,
        file: TensorFile,
        key: &FeatureKey,
        expected_rows: usize,
    ) -> Result<FeatureFile, String> {
        for (name, value) in key.fields() {
            if file.metadata().get(name).map(String::as_str) != Some(value) {
                return Err(format!("it was made for another {name}"));
            }
        }
        let file = FeatureFile::new(file)?;
        let (dtype, rows) = (file.dtype(), file.rows());
        if dtype != self.dtype || rows != expected_rows {
            return Err(format!(
                "it holds {rows} rows of {dtype:?} numbers, where {expected_rows} rows of {:?} are expected",
                self.dtype
            ));
        }
        for start in (0..rows).step_by(BLOCK) {
            let block = match file.read(start..rows.min(start + BLOCK)) {
                Ok(block) => block,
                Err(Error::Damaged { problem, .. }) => return Err(problem),
                Err(error) => return Err(error.to_string()),
            };
            if let Some(problem) = block.not_finite(start) {
                return Err(problem);
            }
        }
        Ok(file)
    }
}
