//! The images of an experiment.

use std::path::PathBuf;

use flora_core::Dtype;
use flora_data::{Limit, Protocol, ValidationShare};
use serde::{Deserialize, Serialize};

/// The images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A data set's TOML description, or a folder of images.
    pub path: PathBuf,
    /// Folder of the images, instead of the one in the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// `official`, `merged-80-20` as in the FLoRA paper, or `stratified-80-20`.
    #[serde(default = "official")]
    pub protocol: Protocol,
    /// The prompt template, with `{}` for the class name, instead of the data set's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Use only a random part of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Share of the training images held out for evaluating the rounds and choosing the best one. The test images are
    /// then not used during the run.
    #[serde(default, skip_serializing_if = "ValidationShare::is_zero")]
    pub validation: ValidationShare,
    /// Seed of the partition, the limit and the validation images, separate from that of the training.
    #[serde(default)]
    pub seed: u64,
    /// Number of random views of each training image, which training uses in turn instead of the original image; 0:
    /// none. See [`View`](flora_data::View).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub views: usize,
    /// Folder of the cached image features, instead of the user's cache folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Element type of the cached image features.
    #[serde(default, skip_serializing_if = "CacheDtype::is_f32")]
    pub cache_dtype: CacheDtype,
}

/// Element type of cached image features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheDtype {
    /// Single precision, as computed.
    #[default]
    F32,
    /// Half precision: half the space, and results that differ in the fourth digit.
    F16,
}

impl CacheDtype {
    fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

impl From<CacheDtype> for Dtype {
    fn from(dtype: CacheDtype) -> Self {
        match dtype {
            CacheDtype::F32 => Self::F32,
            CacheDtype::F16 => Self::F16,
        }
    }
}

fn is_zero(views: &usize) -> bool {
    *views == 0
}

fn official() -> Protocol {
    Protocol::Official
}
