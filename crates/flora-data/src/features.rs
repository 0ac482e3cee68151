//! What a frozen image tower made of the images: computed once, kept on the disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use flora_core::hex;
use safetensors::tensor::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use crate::{Error, files};

const TENSOR: &str = "image_features";

/// Image features, one row per sample of the data set.
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
}

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

/// What the cache has for a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// The features.
    Hit(Features),
    /// Nothing.
    Miss,
    /// A file that cannot be used: as good as nothing, but worth telling. Storing the features anew
    /// replaces it.
    Damaged(String),
}

/// A folder of `features-<digest>.safetensors` files, one for each [`FeatureKey`].
#[derive(Debug, Clone)]
pub struct FeatureCache {
    dir: PathBuf,
}

impl FeatureCache {
    /// A cache in `dir`, which is made when something is stored.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The file that belongs to `key`.
    pub fn path(&self, key: &FeatureKey) -> PathBuf {
        let digest = key.digest();
        self.dir.join(format!("features-{}.safetensors", &digest[..16]))
    }

    /// Look up the features of `expected_rows` samples.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when there is a file but it cannot be read. A file that can be read but not used is
    /// [`Lookup::Damaged`], because computing the features again is all it takes.
    pub fn load(&self, key: &FeatureKey, expected_rows: usize) -> Result<Lookup, Error> {
        let path = self.path(key);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lookup::Miss),
            Err(error) => return Err(Error::io("read the image features", &path)(error)),
        };
        Ok(match parse(&bytes, key, expected_rows) {
            Ok(features) => Lookup::Hit(features),
            Err(problem) => Lookup::Damaged(format!(
                "{}: {problem}; the image features are computed again",
                path.display()
            )),
        })
    }

    /// Store features, and return the file.
    ///
    /// # Errors
    ///
    /// [`Error::Features`] when they are not whole rows of finite numbers, [`Error::Io`] when the file
    /// cannot be written.
    pub fn store(&self, key: &FeatureKey, features: &Features) -> Result<PathBuf, Error> {
        if features.dim == 0 || !features.values.len().is_multiple_of(features.dim) {
            let problem =
                format!("{} numbers are not rows of {}", features.values.len(), features.dim);
            return Err(Error::Features { problem });
        }
        if let Some(problem) = not_finite(features) {
            return Err(Error::Features { problem });
        }
        let path = self.path(key);
        files::write_atomic(&path, &serialize(&path, key, features)?)?;
        Ok(path)
    }
}

fn not_finite(features: &Features) -> Option<String> {
    let at = features.values.iter().position(|value| !value.is_finite())?;
    Some(format!("the features of sample {} contain {}", at / features.dim, features.values[at]))
}

fn serialize(path: &Path, key: &FeatureKey, features: &Features) -> Result<Vec<u8>, Error> {
    let metadata: HashMap<String, String> =
        key.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let matrix = Matrix { shape: [features.len(), features.dim], values: &features.values };
    safetensors::serialize([(TENSOR, matrix)], Some(metadata))
        .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))
}

/// The features of a file, or what is wrong with it.
fn parse(bytes: &[u8], key: &FeatureKey, expected_rows: usize) -> Result<Features, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let metadata = header.metadata().as_ref();
    for (name, value) in key.fields() {
        let found = metadata.and_then(|metadata| metadata.get(name));
        if found.map(String::as_str) != Some(value) {
            return Err(format!("it was made for another {name}"));
        }
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let tensor = file.tensor(TENSOR).map_err(|error| error.to_string())?;
    let &[rows, dim] = tensor.shape() else {
        return Err(format!("its shape is {:?}", tensor.shape()));
    };
    if tensor.dtype() != Dtype::F32 || rows != expected_rows || dim == 0 {
        return Err(format!(
            "it holds {rows} rows of {dim} {:?} numbers, where {expected_rows} rows of F32 are expected",
            tensor.dtype()
        ));
    }
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let values = numbers.iter().copied().map(f32::from_le_bytes).collect();
    let features = Features { dim, values };
    match not_finite(&features) {
        Some(problem) => Err(problem),
        None => Ok(features),
    }
}

/// A matrix for `safetensors`, which is little-endian.
struct Matrix<'a> {
    shape: [usize; 2],
    values: &'a [f32],
}

impl View for Matrix<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(bytemuck::cast_slice(self.values));
        }
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}
