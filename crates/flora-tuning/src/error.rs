use std::path::{Path, PathBuf};

use flora_clip::ClipError;
use flora_core::RecordError;
use flora_inference::InferenceError;
use flora_lora::LoraError;

/// Errors before or between the rounds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// An experiment is invalid; the error names the field.
    #[error("{origin}: {problem}")]
    Experiment {
        /// The file or preset.
        origin: String,
        /// The problem by field, and the remedy.
        problem: String,
    },
    /// The checkpoint, its tokenizer or an image is invalid.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The data set, its partition or the cache of features is invalid.
    #[error(transparent)]
    Data(#[from] flora_data::Error),
    /// An image cannot be encoded by the model.
    #[error("{place}: {error}")]
    Image {
        /// The file.
        place: String,
        /// The problem.
        error: ClipError,
    },
    /// The adapters are invalid.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// Prompts cannot be learned.
    #[error("{field}: {problem}")]
    Prompt {
        /// The field of the experiment.
        field: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
    /// Class weights do not fit the loss or the classes.
    #[error("training.class_weights: {0}")]
    ClassWeights(String),
    /// A softmax over a client's classes does not fit the loss.
    #[error("method.softmax: {0}")]
    Softmax(String),
    /// A record does not fit the adapters.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The loss became NaN or infinite.
    #[error(
        "training loss is {loss} in epoch {epoch}, batch {batch}; lower training.learning_rate"
    )]
    Diverged {
        /// The loss.
        loss: f32,
        /// The local epoch, from 0.
        epoch: usize,
        /// The batch, from 0.
        batch: usize,
    },
    /// The parameters became NaN or infinite in the last step.
    #[error("after training, {0}; lower training.learning_rate")]
    NotFinite(RecordError),
    /// Training ended with a finite value that is too large to use.
    #[error(
        "after training, tensor `{tensor}` holds {value:e}, whose square overflows; lower training.learning_rate"
    )]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The largest value in it.
        value: f32,
    },
    /// The model's logits are all equal, because its activations overflowed.
    #[error(
        "every class gets the same score for every image: the model's values are so large that they \
         overflow; if training caused this, lower training.learning_rate"
    )]
    Collapsed,
    /// The system refused a thread or a file.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// A client's task has no parameters.
    #[error("the message has no record `parameters`")]
    NoParameters,
    /// A method that reads states of the vision tower was not given its configuration.
    #[error(
        "the method reads states of the vision tower: give `Start::with_vision` its configuration"
    )]
    NoVisionConfig,
    /// A classifier cannot be solved.
    #[error(transparent)]
    Heads(#[from] flora_heads::HeadsError),
    /// Image features cannot be computed.
    #[error(transparent)]
    Inference(InferenceError),
    /// Trained parameters cannot be used.
    #[error("{}: {problem}", path.display())]
    Trained {
        /// Their file or folder.
        path: PathBuf,
        /// The problem and the remedy.
        problem: String,
    },
    /// A server's request that the site cannot fulfil.
    #[error("the server's plan: {0}")]
    Plan(String),
    /// Sites that do not fit the request.
    #[error("{0}")]
    Sites(String),
    /// A setting of a message is invalid.
    #[error("the message's setting `{name}`: {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
    /// A privacy budget is spent, or the accountant rejects it.
    #[error("federation.privacy: {0}")]
    Privacy(String),
    /// The trained model cannot tell some classes apart.
    #[error("class names: {0}")]
    Classes(String),
}

impl TuningError {
    pub(crate) fn trained(path: &Path, problem: String) -> Self {
        Self::Trained { path: path.to_owned(), problem }
    }
}

impl From<InferenceError> for TuningError {
    fn from(error: InferenceError) -> Self {
        match error {
            InferenceError::Clip(error) => Self::Clip(error),
            InferenceError::Data(error) => Self::Data(error),
            InferenceError::Image { place, error } => Self::Image { place, error },
            other => Self::Inference(other),
        }
    }
}
