//! The fine-tuning methods: trained and sent parameters, and prediction.

mod check;
mod check_travel;
mod closed_form;
mod fedaa;
mod fedfft;
mod fedlc;
mod fedprompt;
mod fedvm_lc;
mod flora;
mod over_head;
mod zero_shot;

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::{ClipTokenizer, Padding, Readout, TextConfig, VisionConfig, normalize};
use flora_core::ParameterRecord;
use flora_data::{Features, Template};
use serde::{Deserialize, Serialize};

pub(crate) use check::{check, check_ranks};
pub(crate) use closed_form::read as read_moments;
pub use closed_form::{ClosedForm, ClosedFormConfig, HeadFeatures};
pub use fedaa::FedAa;
pub use fedfft::FedFft;
pub use fedlc::FedLc;
pub use fedprompt::{FedPrompt, PromptConfig};
pub use fedvm_lc::FedVmLc;
pub use flora::Flora;
pub(crate) use over_head::OverHead;
pub use zero_shot::ZeroShot;

use crate::{LossKind, Objective, Prompts, Trainable, TuningError, TuningModel};

/// A method to fine-tune CLIP in a federation.
///
/// A method is a value that all clients share; a client's trained parameters are in its [`TuningModel`]. Methods of
/// other crates run with [`prepare_method`](crate::prepare_method); this one trains the projection of the text tower:
///
/// ```
/// use flora_tuning::methods::{Method, Start};
/// use flora_tuning::{Trainable, TuningError, TuningModel};
///
/// #[derive(Debug)]
/// struct LastLayer;
///
/// impl Method for LastLayer {
///     fn name(&self) -> &str {
///         "last-layer"
///     }
///
///     fn trainable(&self) -> Trainable {
///         Trainable::Parts(&["text_projection."])
///     }
///
///     fn trains_text(&self) -> bool {
///         true
///     }
///
///     fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
///         Ok(self.trainable().release(base, start.device))
///     }
/// }
/// ```
pub trait Method: Debug + Send + Sync {
    /// The name in events and files.
    fn name(&self) -> &str;

    /// The loss of its publication.
    fn usual_loss(&self) -> LossKind {
        LossKind::Infonce
    }

    /// Whether it predicts with its own head, which uses classes instead of texts.
    fn has_head(&self) -> bool {
        false
    }

    /// Whether [`attach`](Self::attach) needs [`Start::texts`].
    fn starts_from_texts(&self) -> bool {
        self.has_head()
    }

    /// The trained and sent parameters.
    fn trainable(&self) -> Trainable;

    /// Whether image features change during training, so that images go through the vision tower at every step.
    /// Otherwise they are computed once.
    fn trains_vision(&self) -> bool {
        false
    }

    /// Whether prompt features change during training. Otherwise they are computed once.
    fn trains_text(&self) -> bool {
        false
    }

    /// The states of the vision tower that it uses besides image features: [`logits`](Self::logits) then receives the
    /// output of [`Clip::image_rows`](flora_clip::Clip::image_rows). Only for methods with a frozen vision tower.
    fn readout(&self, config: &VisionConfig) -> Option<Readout> {
        let _ = config;
        None
    }

    /// The prompts of the classes.
    ///
    /// # Errors
    ///
    /// A prompt that cannot be tokenised.
    fn prompts(
        &self,
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        template: &Template,
        classes: &[String],
    ) -> Result<Prompts, TuningError> {
        Prompts::new(tokenizer, config, template, classes)
    }

    /// Adds the method's trained modules to a fully frozen model, the same for every client.
    ///
    /// # Errors
    ///
    /// Settings that do not fit the model.
    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError>;

    /// Sums over a client's `images`, for methods that take no optimizer steps. `None` for a method that is trained.
    ///
    /// # Errors
    ///
    /// Images that cannot be read.
    fn sum_up(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
    ) -> Result<Option<Summed>, TuningError> {
        let _ = (objective, model, images, device);
        Ok(None)
    }

    /// Prepares the model for prediction, with everything derived from its trained parameters; called once before many
    /// images. `model` and `device` are without autodiff.
    ///
    /// # Errors
    ///
    /// Trained parameters that cannot be used for prediction.
    fn ready(
        &self,
        objective: &Objective,
        model: TuningModel,
        device: &Device,
    ) -> Result<TuningModel, TuningError> {
        let _ = (objective, device);
        Ok(model)
    }

    /// The logits of images for some classes.
    ///
    /// # Shapes
    ///
    /// - images: features from the model or the cache, `[batch, projection_dim]`
    /// - output: `[batch, classes.len()]`; the largest is the prediction
    fn logits(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        objective.similarities(model, images, classes)
    }
}

/// Sums over the images of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Summed {
    /// The sums as trained parameters, with which the client alone would predict.
    pub sums: ParameterRecord,
    /// The sums divided by the number of images, which the client sends: the server adds up such means, weighted by
    /// examples.
    pub means: ParameterRecord,
}

/// The methods included in flora.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MethodName {
    /// [`Flora`]: LoRA adapters on a frozen CLIP.
    #[default]
    Flora,
    /// [`FedFft`]: every weight of both towers.
    #[serde(rename = "fedfft")]
    FedFft,
    /// [`FedLc`]: a linear head on frozen image features.
    #[serde(rename = "fedlc")]
    FedLc,
    /// [`FedVmLc`]: the same head, and the vision tower below it.
    #[serde(rename = "fedvm-lc")]
    FedVmLc,
    /// [`FedAa`]: an attention adapter on frozen image features, as in FedCLIP.
    #[serde(rename = "fedaa")]
    FedAa,
    /// [`FedPrompt`]: context vectors before the class names, as in CoOp.
    #[serde(rename = "fedprompt")]
    FedPrompt,
    /// [`ZeroShot`]: the unchanged model; nothing is trained.
    ZeroShot,
    /// [`ClosedForm`]: ridge regression on frozen image features.
    Ridge,
    /// [`ClosedForm`]: linear discriminant analysis on frozen image features, against the mean of all images.
    Lda,
    /// [`ClosedForm`]: Gaussian discriminant analysis on frozen image features, as published by its authors.
    Gda,
    /// [`ClosedForm`]: the nearest class mean of frozen image features.
    Ncm,
}

impl MethodName {
    /// The name in an experiment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flora => "flora",
            Self::FedFft => "fedfft",
            Self::FedLc => "fedlc",
            Self::FedVmLc => "fedvm-lc",
            Self::FedAa => "fedaa",
            Self::FedPrompt => "fedprompt",
            Self::ZeroShot => "zero-shot",
            Self::Ridge => "ridge",
            Self::Lda => "lda",
            Self::Gda => "gda",
            Self::Ncm => "ncm",
        }
    }

    /// Whether it is solved from sums over all images, in one round and without a gradient.
    pub fn is_closed_form(self) -> bool {
        matches!(self, Self::Ridge | Self::Lda | Self::Gda | Self::Ncm)
    }
}

/// Inputs of [`Method::attach`].
#[derive(Debug)]
pub struct Start<'a> {
    /// Seed for random initial values.
    pub seed: u64,
    /// The model's device, with autodiff.
    pub device: &'a Device,
    base: &'a TuningModel,
    prompts: &'a Prompts,
    texts: OnceLock<Arc<Features>>,
    vision: Option<VisionConfig>,
}

impl<'a> Start<'a> {
    /// From `base`, before anything is attached to it.
    pub fn new(seed: u64, device: &'a Device, base: &'a TuningModel, prompts: &'a Prompts) -> Self {
        Self { seed, device, base, prompts, texts: OnceLock::new(), vision: None }
    }

    /// Sets the features of the prompts, if they were computed before.
    pub(crate) fn with_texts(self, texts: Option<Arc<Features>>) -> Self {
        let texts = texts.map_or_else(OnceLock::new, OnceLock::from);
        Self { texts, ..self }
    }

    /// Sets the configuration of the vision tower, for methods that have a [`Method::readout`].
    #[must_use]
    pub fn with_vision(self, config: &VisionConfig) -> Self {
        Self { vision: Some(config.clone()), ..self }
    }

    /// The configuration of the vision tower, if it was given.
    pub fn vision(&self) -> Option<&VisionConfig> {
        self.vision.as_ref()
    }

    /// The frozen model, before anything is attached to it.
    pub fn base(&self) -> &TuningModel {
        self.base
    }

    /// The prompts of the classes.
    pub fn prompts(&self) -> &Prompts {
        self.prompts
    }

    /// The zero-shot classifier: the normalised features of every class's prompt, computed once.
    pub fn texts(&self) -> Arc<Features> {
        let encode = || {
            let classes: Vec<usize> = (0..self.prompts.classes()).collect();
            let tokens = self.prompts.tokens(&classes, Padding::Longest);
            let texts = normalize(self.base.valid().text_features(&tokens));
            let [_, dim] = texts.dims();
            let values = texts.into_data().convert::<f32>().try_into_vec().expect("just converted");
            Arc::new(Features { dim, values })
        };
        self.texts.get_or_init(encode).clone()
    }
}
