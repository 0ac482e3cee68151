//! Cached image features on disk, keyed by everything that determines them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::record::{self, Element, HostTensor};
use flora_core::{Dtype, RecordError, TensorFile, files, hex};
use sha2::{Digest, Sha256};

use crate::features::{CHECKSUMS, TENSOR};
use crate::{Error, FeatureFile, Features};

/// Number of rows written or checked at a time.
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
            // The length distinguishes (ab, c) and (a, bc).
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
    /// There is no file.
    Miss,
    /// A file that is damaged, belongs to another key or has no checksums: a message for the user. Storing the features
    /// again replaces it.
    Damaged(String),
}

/// A folder of `features-<digest>.safetensors` files, one per [`FeatureKey`]: the tensor `image_features`, and `crc32`
/// with the checksum of each row. [`load`](Self::load) reads and checks the whole file. [`begin`](Self::begin) computes
/// missing features. States within the tower, which may not fit into memory, are in files `activations-<digest>.rows`;
/// see [`begin_activations`](Self::begin_activations).
#[derive(Debug, Clone)]
pub struct FeatureCache {
    pub(crate) dir: PathBuf,
    dtype: Dtype,
}

impl FeatureCache {
    /// A cache in `dir`, which is created on the first store. Values are stored unrounded, in [`Dtype::F32`].
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), dtype: Dtype::F32 }
    }

    /// Rounds each value to `dtype`, in separate files.
    #[must_use]
    pub fn with_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }

    /// The element type of stored values.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The folder of the files, which may not exist yet.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The file for `key`.
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

    /// Looks up the features of `expected_rows` samples, and checks every row.
    ///
    /// # Errors
    ///
    /// [`Error::Record`] if a file exists but cannot be read. A readable but unusable file is [`Lookup::Damaged`],
    /// because computing the features again is sufficient.
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

    /// Stores features, rounded to the cache's type, and opens the file.
    ///
    /// # Errors
    ///
    /// [`Error::Features`] if they are not whole rows of finite values, [`Error::Io`] if the file cannot be written.
    pub fn store(&self, key: &FeatureKey, features: &Features) -> Result<FeatureFile, Error> {
        features.check_rows()?;
        let dim = features.dim;
        // Not all at once: the bytes would take as much memory again.
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

    /// `rows`, the first of which has the number `first`, as values and bytes of the cache's type.
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

    /// The features of a file, or its problem.
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
