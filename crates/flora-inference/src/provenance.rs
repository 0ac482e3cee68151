//! The provenance of trained parameters, in flora's own file beside those of other formats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use flora_clip::{Checkpoint, Precision};
use flora_core::files::{self, write_atomic};
use flora_core::{hex, sealed};
use flora_data::{Dataset, Limit, Protocol, ValidationShare};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::InferenceError;

/// The name of the method without training in a run.
const ZERO_SHOT: &str = "zero-shot";

/// The origin and the training data of parameters: the content of `flora.json` beside PEFT's or Hugging Face's files,
/// and of the metadata `flora` in a `trained.safetensors`.
///
/// PEFT's files name a base model, but do not identify its weights, and have no classes, prompts and images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of flora that trained them.
    pub flora: String,
    /// The method, as named in an experiment.
    pub method: String,
    /// The checkpoint that they belong to, as named in the experiment.
    pub base_model_name_or_path: String,
    /// SHA-256 of that checkpoint's weights.
    pub base_sha256: String,
    /// SHA-256 of its configuration, preprocessing and tokenizer.
    pub base_settings_sha256: String,
    /// The precision of the products of its frozen vision tower.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// The class names of the training data, by label.
    pub classes: Vec<String>,
    /// The prompt of a class, with `{}` for its name.
    pub template: String,
    /// The training images.
    pub data: TrainedOn,
    /// The clients whose images contributed to the sums of a closed-form method.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub clients: BTreeSet<String>,
    /// The classes without training images, because the run kept them as novel ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub novel_classes: BTreeSet<String>,
    /// SHA-256 of the classifier that an adapter was trained with (`method.head`): the adapter is of little use without
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_sha256: Option<String>,
    /// SHA-256 of the files beside it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// The images of a training: the training images of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// The data set's name.
    pub name: String,
    /// The protocol of the split.
    pub protocol: Protocol,
    /// The number of images of each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The share of the training images that was held out to score rounds.
    #[serde(default, skip_serializing_if = "ValidationShare::is_zero")]
    pub validation: ValidationShare,
    /// The seed of both choices.
    pub seed: u64,
    /// [`Dataset::fingerprint`] of the selected images, of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl TrainedOn {
    /// Splits the images of `dataset` in the same way.
    pub fn split(&self, dataset: Dataset) -> Dataset {
        let dataset = dataset.with_protocol(self.protocol);
        let dataset = match self.limit {
            Some(limit) => dataset.limit(limit, self.seed),
            None => dataset,
        };
        dataset.with_validation(self.validation, self.seed)
    }

    /// Whether the images of [`split`](Self::split) are the original ones: every byte is read.
    pub fn is_exactly(&self, split: &Dataset) -> bool {
        // An image that cannot be read is reported when it is scored.
        let told = self.fingerprint.as_ref();
        told.is_some_and(|told| split.fingerprint().is_ok_and(|fingerprint| fingerprint == *told))
    }
}

impl Provenance {
    /// Whether anything was trained: a zero-shot model is its base.
    pub fn trains(&self) -> bool {
        self.method != ZERO_SHOT
    }

    /// The file's name.
    pub const FILE: &str = "flora.json";

    /// Writes the file into `folder`, with the digests of all other files in the folder, but not in folders below it.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub fn save(&self, folder: &Path) -> Result<(), InferenceError> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(InferenceError::read(folder))? {
            let path = entry.map_err(InferenceError::read(folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.is_file() && name != Self::FILE {
                files.insert(name.to_owned(), digest(&path)?);
            }
        }
        let path = folder.join(Self::FILE);
        let text = Self { files, ..self.clone() }.to_text();
        write_atomic(&path, text.as_bytes()).map_err(InferenceError::write(&path))
    }

    /// Reads the file in `folder`; `None` if there is none, as for other tools' output.
    ///
    /// # Errors
    ///
    /// A file that is damaged or not flora's, or files beside it that were changed.
    pub fn load(folder: &Path) -> Result<Option<Self>, InferenceError> {
        let path = folder.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(InferenceError::read(&path)(error)),
        };
        let provenance =
            Self::from_text(&text).map_err(|problem| InferenceError::file(&path, problem))?;
        for (name, told) in &provenance.files {
            let file = folder.join(name);
            // Only files beside it: a name with a path in it could lead anywhere.
            let is_beside = file.parent() == Some(folder) && file.is_file();
            if !is_beside || digest(&file)? != *told {
                let problem = format!(
                    "is not the file that flora wrote: its SHA-256 is not the one in {file}; restore it, or remove \
                     {file} if it was changed on purpose",
                    file = Self::FILE
                );
                return Err(InferenceError::file(&file, problem));
            }
        }
        Ok(Some(provenance))
    }

    /// As text, with its own checksum.
    pub fn to_text(&self) -> String {
        sealed::to_string(self).expect("plain data")
    }

    /// Reads [`to_text`](Self::to_text).
    ///
    /// # Errors
    ///
    /// Text that is damaged or something else, as a message.
    pub fn from_text(text: &str) -> Result<Self, String> {
        sealed::check(text)?;
        serde_json::from_str(text).map_err(|error| format!("is not a file of flora: {error}"))
    }
}

/// SHA-256 of a checkpoint's settings besides its weights: configuration, preprocessing and tokenizer.
pub fn settings_digest(checkpoint: &Checkpoint) -> String {
    let mut hash = Sha256::new();
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data");
    for part in [
        json(serde_json::to_vec(&checkpoint.config)),
        json(serde_json::to_vec(&checkpoint.preprocessor)),
        checkpoint.tokenizer.to_bytes(),
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize())
}

fn digest(path: &Path) -> Result<String, InferenceError> {
    let mut hash = Sha256::new();
    files::hash(path, &mut hash).map_err(InferenceError::read(path))?;
    Ok(hex::encode(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance() -> Provenance {
        Provenance {
            flora: "0.1.0".into(),
            method: "flora".into(),
            base_model_name_or_path: "clip-nano".into(),
            base_sha256: "00".into(),
            base_settings_sha256: "01".into(),
            precision: Precision::F32,
            classes: vec!["a cat".into(), "Löwe".into()],
            template: "a photo of {}".into(),
            data: TrainedOn {
                name: "pets".into(),
                protocol: "merged-80-20:7".parse().unwrap(),
                limit: Some(Limit { train: Some(10), test: None }),
                validation: ValidationShare::try_from(0.1).unwrap(),
                seed: 3,
                fingerprint: Some("11".into()),
            },
            clients: BTreeSet::from(["a clinic".into()]),
            novel_classes: BTreeSet::new(),
            head_sha256: None,
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn it_comes_back_and_vouches_for_the_files_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(Provenance::load(path).unwrap(), None);
        fs::create_dir(path.join("below")).unwrap();
        fs::write(path.join("values"), [1, 2, 3]).unwrap();
        for _ in 0..2 {
            provenance().save(path).unwrap();
        }
        let loaded = Provenance::load(path).unwrap().unwrap();
        assert_eq!(loaded.files.keys().collect::<Vec<_>>(), ["values"]);
        assert_eq!(Provenance { files: BTreeMap::new(), ..loaded }, provenance());

        fs::write(path.join("values"), [1, 2, 2]).unwrap();
        let error = Provenance::load(path).unwrap_err().to_string();
        assert!(error.contains("values: is not the file that flora wrote"), "{error}");
        fs::remove_file(path.join("values")).unwrap();
        Provenance::load(path).unwrap_err();
    }

    #[test]
    fn a_changed_class_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        provenance().save(folder.path()).unwrap();
        let file = folder.path().join(Provenance::FILE);
        let text = fs::read_to_string(&file).unwrap().replace("a cat", "a bat");
        fs::write(&file, text).unwrap();
        let error = Provenance::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("flora.json: it is damaged"), "{error}");
        fs::write(&file, "{}").unwrap();
        let error = Provenance::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not a file of flora"), "{error}");
    }
}
