//! The contents of an experiment's TOML file.

mod check;
mod data;
mod federation;
mod method;
#[cfg(test)]
mod tests;

use std::path::Path;

use flora_clip::Precision;
use flora_core::files;
use flora_data::PartitionConfig;
use flora_federation::Faults;
use serde::{Deserialize, Serialize};

pub(crate) use self::check::{is_plain_name, saved_partition};
pub use self::data::{CacheDtype, DataConfig};
pub use self::federation::FederationConfig;
pub use self::method::{Implementation, LossKind, MethodConfig};

use crate::{MethodName, PRESETS, Preset, TrainingConfig, TuningError, overrides};

/// A federated fine-tuning experiment. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The name of the run.
    pub name: String,
    /// Seed of everything but the partition: initial adapters, order of examples, selection.
    #[serde(default)]
    pub seed: u64,
    /// The frozen backbone.
    pub model: ModelConfig,
    /// The images.
    pub data: DataConfig,
    /// The partition of the images across clients.
    pub partition: PartitionConfig,
    /// The method and its loss.
    #[serde(default)]
    pub method: MethodConfig,
    /// Local training of a client.
    #[serde(default)]
    pub training: TrainingConfig,
    /// Rounds, aggregation, privacy and compression.
    #[serde(default)]
    pub federation: FederationConfig,
    /// Injected faults.
    #[serde(default, skip_serializing_if = "Faults::is_none")]
    pub faults: Faults,
    /// Output of a run besides its result.
    #[serde(default)]
    pub output: OutputConfig,
    /// Keys of earlier versions that it was read from, each with its name of today: a run warns of them.
    #[serde(skip)]
    pub renamed: Vec<(&'static str, &'static str)>,
}

/// The frozen backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A checkpoint: a folder or file in the layout of Hugging Face, OpenCLIP or OpenAI, the name of a
    /// known model, or `hf:owner/name[@revision]`; see [`flora_hub::ModelSource`].
    pub path: String,
    /// Draw weights at random instead of reading the checkpoint's, to measure the benefit of pretraining.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub random_weights: bool,
    /// Precision in which the frozen vision tower multiplies, up to the first adapter: for image features, and for the
    /// states below the first adapter of the vision tower. Adapters and layers above them, texts, losses, gradients and
    /// optimizers use `f32`.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

/// Output of a run besides its result. Does not affect any result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputConfig {
    /// Save the state for resuming a run after every so many rounds; 0: never.
    pub save_every: usize,
    /// Keep the trained parameters after every so many rounds; 0: only after the last and the best.
    pub keep_every: usize,
    /// Keep each client's own parameters after its last training.
    pub keep_clients: bool,
    /// Write event files for TensorBoard.
    pub tensorboard: bool,
}

impl OutputConfig {
    fn check(&self) -> Result<(), String> {
        let &Self { save_every, keep_every, .. } = self;
        // The listener does not see rounds in between.
        if keep_every > 0 && !(save_every > 0 && keep_every.is_multiple_of(save_every)) {
            return Err(format!(
                "output.keep_every: {keep_every} is not a multiple of output.save_every, which is {save_every}: \
                 trained parameters are kept together with a saved state"
            ));
        }
        Ok(())
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { save_every: 1, keep_every: 0, keep_clients: false, tensorboard: false }
    }
}

impl Experiment {
    /// Reads an experiment from TOML text, after `--set` assignments; `origin` is for messages.
    ///
    /// # Errors
    ///
    /// Text that is not TOML, unknown or missing keys, values of a wrong type or out of range; the error names the
    /// field, and the assignment if that caused it.
    pub fn from_toml(
        origin: &str,
        text: &str,
        assignments: &[String],
    ) -> Result<Self, TuningError> {
        overrides::read(origin, text, assignments)
    }

    /// Reads an experiment from a file, after `--set` assignments.
    ///
    /// # Errors
    ///
    /// The errors of [`Experiment::from_toml`], and a file that cannot be read.
    pub fn from_file(path: &Path, assignments: &[String]) -> Result<Self, TuningError> {
        let origin = path.display().to_string();
        let text = files::read_text(path).map_err(|error| TuningError::Experiment {
            origin: origin.clone(),
            problem: format!("cannot be read: {error}"),
        })?;
        Self::from_toml(&origin, &text, assignments)
    }

    /// Reads a preset by its name, or a file whose name ends in `.toml`, after `--set` assignments.
    ///
    /// # Errors
    ///
    /// The errors of [`Experiment::from_file`], and an unknown name.
    pub fn find(name: &str, assignments: &[String]) -> Result<Self, TuningError> {
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            return Self::from_file(path, assignments);
        }
        match Preset::find(name) {
            Some(preset) => preset.experiment(assignments),
            None => {
                let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
                let problem = format!(
                    "no such preset; choose one of {}, or name a file that ends in .toml",
                    names.join(", ")
                );
                Err(TuningError::Experiment { origin: name.into(), problem })
            }
        }
    }

    /// The experiment as TOML, with every default filled in.
    ///
    /// # Panics
    ///
    /// Panics if a path in it is not UTF-8, which never happens for an experiment that was read.
    pub fn to_toml(&self) -> String {
        let mut experiment = self.clone();
        experiment.method.loss = Some(self.method.loss());
        toml::to_string_pretty(&experiment).expect("plain data")
    }

    /// Number of training rounds: none if nothing is trained, and one for methods that need only one.
    pub fn rounds(&self) -> usize {
        match self.method.name {
            MethodName::ZeroShot => 0,
            name if name.is_closed_form() => self.training.rounds.min(1),
            _ => self.training.rounds,
        }
    }
}
