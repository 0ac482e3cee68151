//! The contents of an experiment's TOML file.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flora_clip::Precision;
use flora_compression::Codec;
use flora_core::{Dtype, files};
use flora_data::{Limit, Participants, PartitionConfig, Protocol, ValidationShare};
use flora_federation::{
    BelowQuorum, ClientSelector, Faults, RoundPolicy, Selection, SelectionConfig, Share,
};
use flora_lora::LoraConfig;
use flora_privacy::PrivacyConfig;
use flora_secagg::Config as SecureConfig;
use flora_strategies::StrategyConfig;
use serde::{Deserialize, Serialize};

use crate::methods::{
    self, ClosedForm, ClosedFormConfig, FedAa, FedFft, FedLc, FedPrompt, FedVmLc, Flora,
    PromptConfig, ZeroShot,
};
use crate::{
    ClientState, Method, MethodName, PRESETS, Preset, SoftmaxKind, TrainingConfig, TuningError,
    overrides,
};

/// Limit on views, which take time and space before the first round.
const MOST_VIEWS: usize = 100;

/// Limit on threads; a larger number is a mistake.
const MOST_THREADS: usize = 1024;

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

/// The method and its loss.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodConfig {
    /// The method.
    pub name: MethodName,
    /// The loss of a batch; by default [`Method::usual_loss`].
    pub loss: Option<LossKind>,
    /// The classes in a client's softmax of the loss `class-ce`.
    #[serde(skip_serializing_if = "SoftmaxKind::is_all")]
    pub softmax: SoftmaxKind,
    /// How the loss is computed.
    #[serde(alias = "path")]
    pub implementation: Implementation,
    /// The adapters of [`Flora`].
    pub lora: LoraConfig,
    /// The context of [`FedPrompt`].
    pub prompt: PromptConfig,
    /// For [`Flora`]: an adapter in PEFT's format to start from, from any source. Its configuration replaces `lora`.
    /// For [`ClosedForm`]: an adapter under the classifier, which then uses the features and texts of the adapted
    /// model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_adapter: Option<PathBuf>,
    /// Settings of [`ClosedForm`].
    #[serde(skip_serializing_if = "ClosedFormConfig::is_default")]
    pub closed_form: ClosedFormConfig,
    /// For [`Flora`]: a run of a closed-form method, or its `trained.safetensors`, whose classifier is used while the
    /// adapters are trained. Its logits are added to those of the prompts, in training and in prediction, and it is not
    /// trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
}

impl MethodConfig {
    /// The method, with its settings.
    pub fn method(&self) -> Arc<dyn Method> {
        match self.name {
            MethodName::Flora => Arc::new(Flora(self.lora.clone())),
            MethodName::FedFft => Arc::new(FedFft),
            MethodName::FedLc => Arc::new(FedLc),
            MethodName::FedVmLc => Arc::new(FedVmLc),
            MethodName::FedAa => Arc::new(FedAa),
            MethodName::FedPrompt => Arc::new(FedPrompt(self.prompt.clone())),
            MethodName::ZeroShot => Arc::new(ZeroShot),
            name @ (MethodName::Ridge | MethodName::Lda | MethodName::Gda | MethodName::Ncm) => {
                Arc::new(ClosedForm { name, settings: self.closed_form.clone() })
            }
        }
    }

    /// The loss of a batch.
    pub fn loss(&self) -> LossKind {
        self.loss.unwrap_or_else(|| self.method().usual_loss())
    }
}

/// The loss of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossKind {
    /// CLIP's symmetric in-batch contrastive loss, used by the paper's experiments. Examples of one class are false
    /// negatives of each other.
    #[default]
    Infonce,
    /// Cross-entropy of the similarities to all class prompts against the label.
    ClassCe,
}

/// How the loss is computed. The results are the same up to rounding (and, with dropout, up to the random masks: an
/// input that is encoded once gets one mask).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// Frozen image features from a cache, each distinct prompt once, no padding.
    #[default]
    Fast,
    /// Every image and every example's prompt through its tower at every step, padded to the full context, as in the
    /// paper's code; for comparison.
    Naive,
}

/// Rounds, aggregation, privacy and compression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FederationConfig {
    /// The aggregation strategy.
    pub strategy: StrategyConfig,
    /// The clients that train; all clients are tested.
    pub participants: Participants,
    /// The selection of clients in a round.
    #[serde(skip_serializing_if = "SelectionConfig::is_fraction")]
    pub selection: SelectionConfig,
    /// Share of the clients that train in a round, in `(0, 1]`.
    pub fraction: f64,
    /// The minimum number of clients that train in a round.
    pub min_clients: usize,
    /// Seconds to wait for replies in a round; by default, the server waits for all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<f64>,
    /// The minimum number of accepted replies.
    pub quorum: usize,
    /// The consequence of fewer replies: `fail`, `retry` or `skip`.
    pub below_quorum: BelowQuorum,
    /// Number of times that `retry` repeats a round before the run fails.
    pub retries: usize,
    /// The largest accepted L2 norm of an update; see [`RoundPolicy::max_update_norm`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_update_norm: Option<f64>,
    /// Compression of clients' replies.
    #[serde(skip_serializing_if = "Codec::is_lossless")]
    pub upload: Codec,
    /// Compression of the model sent to clients; the server keeps its own in full precision (FedLPP).
    #[serde(skip_serializing_if = "Codec::is_lossless")]
    pub download: Codec,
    /// Whether clients add the error of the last compression to their next update. By default they do if the
    /// coordinates of an update keep their meaning from round to round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_feedback: Option<bool>,
    /// Differential privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyConfig>,
    /// Secure aggregation: replies are masked, so that the server learns their sum and no single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<SecureConfig>,
    /// Threads that run clients: 0 for one per processor. Affects the time, never the result.
    pub threads: usize,
    /// Also test each client's own adapters after it trained.
    pub evaluate_local: bool,
    /// Where idle clients store their optimizers. Affects memory and time, never the result.
    #[serde(skip_serializing_if = "ClientState::is_auto")]
    pub client_state: ClientState,
}

impl Default for FederationConfig {
    fn default() -> Self {
        let policy = RoundPolicy::default();
        Self {
            strategy: StrategyConfig::default(),
            participants: Participants::All,
            selection: SelectionConfig::default(),
            fraction: 1.0,
            min_clients: 1,
            deadline: policy.deadline,
            quorum: policy.quorum,
            below_quorum: policy.below_quorum,
            retries: policy.retries,
            max_update_norm: policy.max_update_norm,
            upload: Codec::F32,
            download: Codec::F32,
            error_feedback: None,
            privacy: None,
            secure: None,
            threads: 0,
            evaluate_local: true,
            client_state: ClientState::Auto,
        }
    }
}

impl FederationConfig {
    /// The constant share of the clients for a [`selection`](Self::selection) by `fraction`.
    pub fn selector(&self) -> ClientSelector {
        ClientSelector { fraction: self.fraction, min_clients: self.min_clients }
    }

    /// The selection of clients in a round.
    pub fn selection(&self) -> Box<dyn Selection> {
        self.selection.selection(self.selector())
    }

    /// The round policy. If a strategy needs several replies, the quorum is at least their number.
    pub fn policy(&self) -> RoundPolicy {
        let &Self { deadline, below_quorum, retries, .. } = self;
        // Whether an update is rejected must not depend on other updates, and it is clipped anyway.
        let max_update_norm = match self.privacy {
            Some(PrivacyConfig::Central(_)) => Some(f64::MAX),
            // Noise may have any norm.
            Some(PrivacyConfig::Local(_)) => self.max_update_norm.or(Some(f64::MAX)),
            _ => self.max_update_norm,
        };
        let quorum = match self.quorum {
            // A wrong element type is refused by any strategy.
            0 => 0,
            quorum => quorum.max(self.strategy.fewest()),
        };
        RoundPolicy { deadline, quorum, below_quorum, retries, max_update_norm }
    }

    /// Whether clients add the error of the last compression to their next update.
    pub(crate) fn has_feedback(&self) -> bool {
        self.error_feedback.unwrap_or(self.strategy.keeps_coordinates())
    }

    /// The part of the trained parameters that is sent.
    pub fn share(&self) -> Share {
        match self.participants {
            Participants::LocalOnly => Share::Nothing,
            _ => match self.strategy.shares() {
                Some(part) => Share::Matching(vec![part.to_owned()]),
                None => Share::All,
            },
        }
    }
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

    /// Checks the values; an error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            return Err(format!(
                "name: {:?} is not a plain name; the run's folder is called after it",
                self.name
            ));
        }
        if self.federation.threads > MOST_THREADS {
            let threads = self.federation.threads;
            return Err(format!("federation.threads: {threads} is more than {MOST_THREADS}"));
        }
        self.check_paths()?;
        self.check_views()?;
        self.training.check()?;
        methods::check(self)?;
        if self.training.patience.is_some() && self.data.validation.is_zero() {
            return Err("training.patience: early stopping needs validation images, otherwise the \
                        test images would decide when to stop; set data.validation, for example to 0.2"
                .into());
        }
        let contrasts = self.method.loss() == LossKind::Infonce && self.rounds() > 0;
        if contrasts && self.training.batch_size < 2 {
            return Err("training.batch_size: 1 leaves the infonce loss nothing to contrast; \
                        choose 2 or more, or method.loss = \"class-ce\""
                .into());
        }
        let fraction = self.federation.fraction;
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(format!("federation.fraction: {fraction} is not in (0, 1]"));
        }
        let selection = self.federation.selection.check(self.federation.selector());
        selection.map_err(|error| error.to_string())?;
        self.federation.policy().check().map_err(|error| error.to_string())?;
        self.faults.check().map_err(|error| error.to_string())?;
        self.output.check()?;
        self.method.lora.check().map_err(|error| format!("method.{error}"))
    }
}

impl Experiment {
    /// Checks the views, which need epochs of training, and take space.
    fn check_views(&self) -> Result<(), String> {
        let views = self.data.views;
        if views > MOST_VIEWS {
            return Err(format!(
                "data.views: {views}; choose at most {MOST_VIEWS}, each of which takes the time and space of all \
                 training \
                 images"
            ));
        }
        let name = self.method.name;
        if views > 0 && (name.is_closed_form() || name == MethodName::ZeroShot) {
            return Err(format!(
                "data.views: {} has no epochs that could see one view after the other; leave it out",
                name.as_str()
            ));
        }
        Ok(())
    }

    /// Rejects empty paths: the system would use the current folder, which is never intended.
    fn check_paths(&self) -> Result<(), String> {
        let data = &self.data;
        let paths = [
            ("model.path", Some(Path::new(&self.model.path))),
            ("data.path", Some(&data.path)),
            ("data.root", data.root.as_deref()),
            ("data.cache", data.cache.as_deref()),
            ("partition.path", saved_partition(&self.partition)),
            ("method.init_adapter", self.method.init_adapter.as_deref()),
            ("method.closed_form.start", self.method.closed_form.start.as_deref()),
            ("method.head", self.method.head.as_deref()),
        ];
        for (field, path) in paths {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                let problem = match field {
                    "model.path" | "data.path" | "partition.path" => "name a file or a folder",
                    _ => "name a folder, or leave it out",
                };
                return Err(format!("{field}: is empty; {problem}"));
            }
            // They are written in TOML, for resuming the run.
            if let Some(path) = path.filter(|path| path.to_str().is_none()) {
                let path = flora_core::text::path(path);
                return Err(format!(
                    "{field}: {path} is not UTF-8, and cannot be written into experiment.toml; rename it"
                ));
            }
        }
        Ok(())
    }
}

/// The file of a saved partition.
pub(crate) fn saved_partition(partition: &PartitionConfig) -> Option<&Path> {
    match partition {
        PartitionConfig::File { path } => Some(path),
        PartitionConfig::FewShot { of, .. } | PartitionConfig::BaseToNovel { of } => {
            saved_partition(of)
        }
        _ => None,
    }
}

/// Whether the name is a valid folder name: no path, no parent.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let parts = Path::new(name).components().collect::<Vec<_>>();
    matches!(parts[..], [Component::Normal(_)]) && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = 'x'\nmodel.path = 'm'\ndata.path = 'd'\n\
                         partition = { kind = 'iid', clients = 10 }\n";

    fn message(text: &str, set: &[&str]) -> String {
        let set: Vec<String> = set.iter().map(|&s| s.into()).collect();
        Experiment::from_toml("test.toml", text, &set).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_the_papers_and_survive_a_round_trip() {
        let experiment = Experiment::from_toml("test.toml", LEAST, &[]).unwrap();
        assert_eq!(experiment.training.rounds, 50);
        assert_eq!(experiment.training.learning_rate, 5e-5);
        assert_eq!(experiment.training.betas, [0.9, 0.98]);
        assert_eq!((experiment.method.lora.r, experiment.method.lora.scale()), (2, 32.0));
        assert_eq!(experiment.method.loss(), LossKind::Infonce);
        let again = Experiment::from_toml("again", &experiment.to_toml(), &[]).unwrap();
        assert_eq!(again.to_toml(), experiment.to_toml());
        // A custom method has its own usual loss: an unset loss is not filled in.
        assert_eq!((experiment.method.loss, again.method.loss), (None, Some(LossKind::Infonce)));
        let on_disk = ["federation.client_state=disk".to_owned()];
        let on_disk = Experiment::from_toml("disk", &experiment.to_toml(), &on_disk).unwrap();
        assert_eq!(on_disk.federation.client_state, ClientState::Disk);
        assert!(on_disk.to_toml().contains("client_state = \"disk\""));
        for set in [
            "data.validation=0.25",
            "method.softmax=balanced",
            "model.precision=bf16",
            "training.class_weights={ cat = 2.0, \"a dog\" = 0.5 }",
        ] {
            let with = Experiment::from_toml("with", LEAST, &[set.to_owned()]).unwrap();
            assert_ne!(with.to_toml(), experiment.to_toml());
            let again = Experiment::from_toml("again", &with.to_toml(), &[]).unwrap();
            assert_eq!(again.to_toml(), with.to_toml());
            assert_eq!((again.training, again.data), (with.training, with.data));
            assert_eq!(again.method.softmax, with.method.softmax);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = message(&format!("{LEAST}[training]\nlearnig_rate = 1.0"), &[]);
        assert!(unknown.contains("learnig_rate") && unknown.contains("test.toml"), "{unknown}");
        let unknown = message(LEAST, &["training.learnig_rate=1.0"]);
        assert!(unknown.contains("learnig_rate"), "{unknown}");
        for (set, field) in [
            ("training.learning_rate=-1.0", "training.learning_rate"),
            ("name=../x", "name"),
            ("name=", "name: \"\" is not"),
            ("model.path=", "model.path: is empty; name a file"),
            ("data.path=", "data.path: is empty; name a file"),
            ("data.root=", "data.root: is empty; name a folder"),
            ("data.cache=", "data.cache: is empty; name a folder"),
            ("partition={ kind = 'file', path = '' }", "partition.path: is empty"),
            (
                "partition={ kind='few-shot', shots=1, of={ kind='file', path='' } }",
                "partition.path: is empty",
            ),
            ("method.init_adapter=", "method.init_adapter: is empty; name a folder"),
            ("federation.threads=100000", "federation.threads"),
            ("training.batch_size=0", "training.batch_size"),
            ("training.batch_size=1", "class-ce"),
            ("model.precision=f8", "unknown precision; choose f32, bf16 or f16"),
            ("training.betas=[0.9, 1.0]", "training.betas"),
            ("training.weight_decay=-0.1", "training.weight_decay"),
            ("training.class_weights=even", "balanced"),
            ("training.class_weights={ cat = 0.0 }", "training.class_weights: 0 for \"cat\""),
            ("data.validation=0.7", "below 0.5"),
            ("training.patience=3", "set data.validation"),
            ("training.patience=0", "patience"),
            ("federation.fraction=0.0", "federation.fraction"),
            ("federation.client_state=cloud", "cloud"),
            ("method.lora.r=0", "method.lora.r"),
            ("method.softmax=some", "restricted"),
            ("method.name=fedsomething", "fedsomething"),
            ("federation.quorum=0", "federation.quorum"),
            ("federation.deadline=-1.0", "federation.deadline"),
            ("federation.below_quorum=shrug", "shrug"),
            ("faults.fail=1.5", "faults.fail"),
            ("faults.fial=0.5", "fial"),
            ("output.keep_evry=1", "keep_evry"),
            ("output={ save_every = 2, keep_every = 3 }", "output.keep_every: 3"),
            ("output={ save_every = 0, keep_every = 3 }", "output.save_every, which is 0"),
        ] {
            let message = message(LEAST, &[set]);
            assert!(message.contains(field), "{message}");
        }
    }
}
