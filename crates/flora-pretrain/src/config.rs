use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flora_clip::ClipConfig;
use flora_core::{explain, settings};
use serde::{Deserialize, Serialize};

use crate::{Augmentation, Precision, PretrainError};

/// The configuration of a pretraining run, from its TOML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// The model's shape: a name that [`ClipConfig::preset`] knows.
    pub model: String,
    /// Folder of the pairs: `pairs.safetensors` and `pairs.jsonl`.
    pub pairs: PathBuf,
    /// Folder for the trained model.
    pub out: PathBuf,
    /// Folder of the training's own files (logs, checkpoints); default `out` + `-training`.
    pub log: Option<PathBuf>,
    /// Seed of the weights, the order of the pairs and the augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Passes over the training pairs.
    pub epochs: usize,
    /// Pairs per step.
    pub batch_size: usize,
    /// The share of each kind of pair in a pass, by the kinds' names; the shares need not add up to 1. Kinds that are
    /// not listed are left out; without this table all pairs have the same weight.
    #[serde(default)]
    pub mix: BTreeMap<String, f64>,
    /// Pairs per pass; 0 means all pairs.
    #[serde(default)]
    pub epoch_pairs: usize,
    /// Peak learning rate of AdamW; it rises linearly and falls along a cosine.
    pub learning_rate: f64,
    /// Steps of the linear rise.
    #[serde(default = "default_warmup")]
    pub warmup_steps: usize,
    /// Weight decay of matrices (vectors have none).
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// Share of a training picture's patches that are hidden, in `[0, 1)`. Hiding half of them saves nearly half of the
    /// vision tower's work (FLIP, [arXiv 2212.00794](https://arxiv.org/abs/2212.00794)).
    #[serde(default)]
    pub patch_dropout: f64,
    /// Passes at the end in which no patch is hidden.
    #[serde(default)]
    pub whole_epochs: usize,
    /// The precision of the towers.
    #[serde(default)]
    pub precision: Precision,
    /// Pictures per shard: small enough for the processor's caches (the gradient is still that of the whole batch); 0
    /// for the whole batch, which suits GPUs.
    #[serde(default = "default_shard_size")]
    pub shard_size: usize,
    /// The number of threads: 0 means one per processor.
    #[serde(default)]
    pub threads: usize,
    /// Resume after this epoch, from the checkpoint in `log`.
    pub resume_from: Option<usize>,
    /// The augmentation of training pictures.
    #[serde(default)]
    pub augmentation: Augmentation,
}

fn default_shard_size() -> usize {
    32
}

fn default_warmup() -> usize {
    100
}

fn default_weight_decay() -> f64 {
    0.1
}

impl PretrainConfig {
    /// Reads and checks a TOML file; its relative folders are relative to the current folder.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, an unknown or missing key, and values out of range.
    pub fn from_file(path: &Path) -> Result<Self, PretrainError> {
        let text = flora_core::files::read_text(path)
            .map_err(|error| PretrainError::file(path, format!("cannot be read: {error}")))?;
        let wrong = |problem: &str| PretrainError::file(path, explain::toml(problem));
        let config: Self = toml::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        // Seeds of all 64 bits are text that configurations can have, and documents cannot.
        if let Ok(document) = text.parse() {
            settings::refuse_lists::<Self>(&document).map_err(|problem| wrong(&problem))?;
        }
        config.check()?;
        Ok(config)
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), PretrainError> {
        let wrong = |field, problem: String| Err(PretrainError::Config { field, problem });
        self.clip_config()?;
        let log = self.log.as_deref().unwrap_or(&self.out);
        for (field, path) in [("pairs", self.pairs.as_path()), ("out", &self.out), ("log", log)] {
            if path.as_os_str().is_empty() {
                return wrong(field, "is empty; name a folder".into());
            }
        }
        if self.epochs == 0 {
            return wrong("epochs", "0 trains nothing; choose 1 or more".into());
        }
        if self.resume_from.is_some_and(|epoch| epoch == 0 || epoch >= self.epochs) {
            let problem = format!("not one of the {} epochs before the last", self.epochs);
            return wrong("resume_from", problem);
        }
        if self.batch_size < 2 {
            return wrong("batch_size", "a contrastive loss needs at least 2 pairs".into());
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return wrong("learning_rate", format!("{} is not in (0, 1]", self.learning_rate));
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return wrong("weight_decay", format!("{} is not in [0, 1]", self.weight_decay));
        }
        if let Some((kind, share)) =
            self.mix.iter().find(|(_, share)| !share.is_finite() || **share <= 0.0)
        {
            return wrong(
                "mix",
                format!("the share of {kind:?}, {share}, is not a positive number"),
            );
        }
        if self.epoch_pairs > 0 && self.epoch_pairs < self.batch_size {
            let (pairs, batch) = (self.epoch_pairs, self.batch_size);
            return wrong("epoch_pairs", format!("{pairs} do not fill a batch of {batch}"));
        }
        if self.whole_epochs > self.epochs {
            let (whole, epochs) = (self.whole_epochs, self.epochs);
            return wrong("whole_epochs", format!("{whole} of {epochs} epochs"));
        }
        if !(0.0..1.0).contains(&self.patch_dropout) {
            return wrong("patch_dropout", format!("{} is not in [0, 1)", self.patch_dropout));
        }
        if self.warmup_steps == 0 {
            return wrong("warmup_steps", "choose 1 or more".into());
        }
        self.augmentation.check()
    }

    /// The model's shape.
    ///
    /// # Errors
    ///
    /// An unknown `model`.
    pub fn clip_config(&self) -> Result<ClipConfig, PretrainError> {
        ClipConfig::preset(&self.model).ok_or_else(|| PretrainError::Config {
            field: "model",
            problem: format!(
                "{:?} is unknown; choose one of {}",
                self.model,
                flora_clip::preset_names()
            ),
        })
    }

    /// The folder of the training's own files.
    pub fn log_folder(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| {
            let mut name = self.out.clone().into_os_string();
            name.push("-training");
            name.into()
        })
    }
}
