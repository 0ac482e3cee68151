//! Loading the sums of closed-form methods, to continue from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flora_core::{ParameterRecord, hex};
use flora_data::PartitionConfig;
use flora_inference::{Provenance, adapter_folder};
use flora_lora::LoraConfig;
use sha2::{Digest, Sha256};

use super::load::parameters;
use super::{CLOSED_FORM, PARAMETERS};
use crate::experiment::saved_partition;
use crate::methods::{ClosedForm, ClosedFormConfig, Flora, OverHead, read_moments};
use crate::{Experiment, MethodName, TuningError};

/// The sums of a run of a closed-form method.
#[derive(Debug, Clone)]
pub(crate) struct LoadedSums {
    /// The file.
    pub(crate) path: PathBuf,
    pub(crate) record: ParameterRecord,
    pub(crate) provenance: Provenance,
    /// The method that solved them.
    pub(crate) method: ClosedForm,
    /// The digest of the adapter under the classifier: [`adapter_digest`].
    pub(crate) adapter: Option<String>,
    /// The partition of the images, if it was recorded.
    partition: Option<PartitionConfig>,
}

/// Additional metadata of a closed-form method's `trained.safetensors`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct ClosedFormFacts {
    pub(super) settings: ClosedFormConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) adapter_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<PartitionConfig>,
}

impl ClosedFormFacts {
    pub(super) fn new(experiment: &Experiment) -> Result<Self, TuningError> {
        let method = &experiment.method;
        // The initial values of a run are not relevant later.
        let settings =
            ClosedFormConfig { start: None, leaving: false, ..method.closed_form.clone() };
        let adapter_sha256 = method.init_adapter.as_deref().map(adapter_digest).transpose()?;
        Ok(Self { settings, adapter_sha256, partition: Some(experiment.partition.clone()) })
    }
}

/// The file of sums, if this is a run's folder.
pub(super) fn sums_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(PARAMETERS) } else { path.to_owned() }
}

impl LoadedSums {
    /// Reads a run's folder, or its `trained.safetensors`.
    pub(crate) fn open(path: &Path) -> Result<Self, TuningError> {
        let path = sums_file(path);
        let wrong = |problem: String| TuningError::trained(&path, problem);
        let (record, provenance, metadata) = parameters(&path)?;
        let name = [MethodName::Ridge, MethodName::Lda, MethodName::Gda, MethodName::Ncm];
        let name = name.into_iter().find(|name| name.as_str() == provenance.method);
        let Some((name, facts)) = name.zip(metadata.get(CLOSED_FORM)) else {
            return Err(wrong(format!(
                "was trained by {}, and not by a method in closed form (ridge, lda, gda, ncm)",
                provenance.method
            )));
        };
        let facts: ClosedFormFacts = serde_json::from_str(facts)
            .map_err(|error| wrong(format!("its metadata {CLOSED_FORM:?}: {error}")))?;
        facts.settings.check().map_err(wrong)?;
        let method = ClosedForm { name, settings: facts.settings };
        let ClosedFormFacts { adapter_sha256: adapter, partition, .. } = facts;
        Ok(Self { path, record, provenance, method, adapter, partition })
    }

    /// A method that trains adapters beside this classifier.
    pub(crate) fn under(&self, lora: &LoraConfig) -> Result<OverHead, TuningError> {
        Ok(OverHead {
            flora: Flora(lora.clone()),
            head: self.method.clone(),
            moments: Arc::new(read_moments(&self.record)?),
        })
    }

    /// Whether they contain any images.
    pub(crate) fn has_images(&self) -> Result<bool, TuningError> {
        Ok(!read_moments(&self.record)?.is_empty())
    }

    /// The setting that gives the clients of `experiment` other images than they had for these sums, so that equal ids
    /// are not the same client; `None` if there is none, or for another data set. Without `fingerprint`, the images
    /// themselves are not compared.
    pub(crate) fn other_images(
        &self,
        experiment: &Experiment,
        data_name: &str,
        fingerprint: impl FnOnce() -> Result<Option<String>, TuningError>,
    ) -> Result<Option<&'static str>, TuningError> {
        let (then, now) = (&self.provenance.data, &experiment.data);
        if then.name != data_name {
            return Ok(None);
        }
        let partition = &experiment.partition;
        // The file is not compared, because its contents may be those of the earlier run.
        let is_known = |it: &&PartitionConfig| saved_partition(it).is_none();
        let earlier = self.partition.as_ref().filter(is_known);
        let other_partition = earlier.is_some_and(|it| is_known(&partition) && it != partition);
        // Clients that are folders keep their images, whatever the settings of others.
        let is_drawn = *partition != PartitionConfig::Natural;
        let by_seed = is_drawn || now.limit.is_some() || !now.validation.is_zero();
        Ok(if then.protocol != now.protocol {
            Some("data.protocol")
        } else if then.limit != now.limit {
            Some("data.limit")
        } else if then.validation != now.validation {
            Some("data.validation")
        } else if other_partition {
            Some("partition")
        } else if by_seed && then.seed != now.seed {
            Some("data.seed")
        } else if is_drawn && then.fingerprint.is_some() {
            let now = fingerprint()?;
            (now.is_some() && now != then.fingerprint).then_some("data.path")
        } else {
            None
        })
    }

    /// Checks that these are sums of the features with these settings that a checkpoint with the digests `base`, of its
    /// weights and of its settings, computes with this adapter, over these classes.
    pub(crate) fn check(
        &self,
        (base, base_settings): (&str, &str),
        adapter: Option<&str>,
        classes: &[String],
        settings: &ClosedFormConfig,
    ) -> Result<(), TuningError> {
        let own = &self.method.settings;
        let same_features = (own.features, own.shifts) == (settings.features, settings.shifts);
        let problem = if self.provenance.base_sha256 != base {
            format!(
                "holds sums of the features of {}, which has other weights than this run's model; give both the same",
                self.provenance.base_model_name_or_path
            )
        } else if self.provenance.base_settings_sha256 != base_settings {
            format!(
                "holds sums of the features of {}, whose configuration, preprocessing or tokenizer differs from \
                 that of \
                 this run's model; give both the same",
                self.provenance.base_model_name_or_path
            )
        } else if self.adapter.as_deref() != adapter {
            match (&self.adapter, adapter) {
                (Some(_), None) => "holds sums of the features of an adapted model; name the same adapter as \
                                    method.init_adapter"
                    .to_owned(),
                (Some(_), Some(_)) => "holds sums of the features of another adapter than the one in method.init_adapter; name \
                                       the one that it was solved over"
                    .to_owned(),
                _ => "holds sums of features without the adapter in method.init_adapter; leave it out, or begin anew"
                    .to_owned(),
            }
        } else if !same_features {
            format!(
                "holds sums of other features; choose method.closed_form.features = {:?} and shifts = {}",
                own.features.as_str(),
                own.shifts
            )
        } else if self.provenance.classes != classes {
            "holds sums for other classes, or in another order, than this run's data set has; start from a run on \
             the same \
             classes, or without sums"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(TuningError::trained(&self.path, problem))
    }
}

/// The files of an adapter in PEFT's format, and its provenance.
pub(super) const ADAPTER_FILES: [&str; 3] =
    ["adapter_config.json", "adapter_model.safetensors", Provenance::FILE];

/// SHA-256 of the adapter's files in this folder, or in that of a run: the same matrices with another scale are another
/// adapter.
pub(crate) fn adapter_digest(path: &Path) -> std::io::Result<String> {
    let (folder, mut hash) = (adapter_folder(path), Sha256::new());
    for name in &ADAPTER_FILES[..2] {
        flora_core::files::hash(&folder.join(name), &mut hash)?;
    }
    Ok(hex::encode(&hash.finalize()))
}
