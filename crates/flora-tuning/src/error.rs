use std::path::{Path, PathBuf};

use flora_clip::ClipError;
use flora_core::RecordError;
use flora_inference::InferenceError;
use flora_lora::LoraError;

/// What can go wrong before or between the rounds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// An experiment that is not understood or makes no sense, by field.
    #[error("{origin}: {problem}")]
    Experiment {
        /// The file or preset.
        origin: String,
        /// What is wrong, by field, and what would be right.
        problem: String,
    },
    /// The checkpoint, its tokenizer or a picture.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The data set, its partition or the cache of features.
    #[error(transparent)]
    Data(#[from] flora_data::Error),
    /// A picture that cannot go through the model.
    #[error("{place}: {error}")]
    Image {
        /// The file.
        place: String,
        /// What is wrong with it.
        error: ClipError,
    },
    /// The adapters.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// Prompts that cannot be learned.
    #[error("{field}: {problem}")]
    Prompt {
        /// The field of the experiment.
        field: &'static str,
        /// Why, and what to do.
        problem: String,
    },
    /// Class weights that do not go together with the loss or the classes.
    #[error("training.class_weights: {0}")]
    ClassWeights(String),
    /// A softmax over a client's classes that does not go together with the loss.
    #[error("method.softmax: {0}")]
    Softmax(String),
    /// A record that does not fit the adapters.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Training left the numbers behind.
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
    /// Training left the numbers behind in its last step.
    #[error("after training, {0}; lower training.learning_rate")]
    NotFinite(RecordError),
    /// Training ended with a number that is finite, and of no use.
    #[error(
        "after training, tensor `{tensor}` holds {value:e}, whose square overflows; lower training.learning_rate"
    )]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The largest number in it.
        value: f32,
    },
    /// The model tells nothing from anything.
    #[error(
        "every class gets the same score for every image: the model's numbers have grown so large that they \
         overflow; if training made them so, lower training.learning_rate"
    )]
    Collapsed,
    /// The system refuses a thread or a file.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// A task for a client came without parameters.
    #[error("the message has no record `parameters`")]
    NoParameters,
    /// A method that reads states of the vision tower was given none of its sizes.
    #[error(
        "the method reads states of the vision tower: give `Start::with_vision` its configuration"
    )]
    NoVisionConfig,
    /// A classifier that cannot be solved for.
    #[error(transparent)]
    Heads(#[from] flora_heads::HeadsError),
    /// The image features.
    #[error(transparent)]
    Inference(InferenceError),
    /// Trained parameters that cannot be used.
    #[error("{}: {problem}", path.display())]
    Trained {
        /// Their file or folder.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// What a server asks of a site that the site cannot do.
    #[error("the server's plan: {0}")]
    Plan(String),
    /// Sites that do not go together with what is asked of them.
    #[error("{0}")]
    Sites(String),
    /// A setting of a message that makes no sense.
    #[error("the message's setting `{name}`: {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A budget of privacy that is spent, or that no accountant takes.
    #[error("federation.privacy: {0}")]
    Privacy(String),
    /// Classes that a trained model cannot tell apart.
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
