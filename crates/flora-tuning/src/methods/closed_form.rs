use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use flora_clip::{Readout, VisionConfig};
use flora_core::{ParameterRecord, settings};
use flora_heads::{CLASS_COUNTS, Gda, HeadsError, Lda, LinearClassifier, Moments, Ncm, Ridge};
use serde::{Deserialize, Serialize};

use super::{Method, MethodName, Start, Summed};
use crate::{LinearHead, LossKind, MomentSums, Objective, Trainable, TuningError, TuningModel};

/// The features that the classifier of a closed-form method uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadFeatures {
    /// The image features, which the prompts are compared with.
    Embedding,
    /// States of the vision tower's last blocks: [`Readout::of_layers`].
    #[default]
    Layers,
}

impl HeadFeatures {
    /// The name in an experiment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Layers => "layers",
        }
    }
}

/// Settings of the closed-form methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClosedFormConfig {
    /// The features that the classifier uses.
    pub features: HeadFeatures,
    /// Whether to average over the original image and small shifts in four directions: see [`Readout::shifts`].
    pub shifts: bool,
    /// The regularisation added to the second moments before they are inverted, as a share of their mean eigenvalue;
    /// above 0. For ridge regression, the moments are over all images, and the default is 0.01. For linear discriminant
    /// analysis, they are within classes, and the default depends on the images per class: see [`Lda::lambda`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// The weight of the text classifier as the prior of [`Ridge`], in targets of 0 and 1.
    pub prior: f64,
    /// The factor on the head's logits, which are added to those of the prompts. By default, that of the method: see
    /// [`ClosedForm::weight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// A run of a closed-form method, or its `trained.safetensors`, whose sums this run's clients add to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The clients of this run leave: their sums are subtracted from those of `start`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl Default for ClosedFormConfig {
    fn default() -> Self {
        Self {
            features: HeadFeatures::Layers,
            shifts: true,
            lambda: None,
            prior: 0.0,
            weight: None,
            start: None,
            leaving: false,
        }
    }
}

impl ClosedFormConfig {
    /// Whether all settings have their defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the values; an error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (field, value, least) in [
            ("lambda", self.lambda.unwrap_or(1.0), f64::MIN_POSITIVE),
            ("prior", self.prior, 0.0),
            ("weight", self.weight.unwrap_or(0.0), 0.0),
        ] {
            if !(value.is_finite() && value >= least) {
                let wanted =
                    if least > 0.0 { "a positive number" } else { "0 or a positive number" };
                return Err(format!("method.closed_form.{field}: {value} is not {wanted}"));
            }
            // Moments are inverted in double precision; the head's logits are in single precision.
            if field == "weight" {
                settings::check_single(value)
                    .map_err(|problem| format!("method.closed_form.{field}: {problem}"))?;
            }
        }
        if self.prior > 0.0 && self.features == HeadFeatures::Layers {
            return Err(
                "method.closed_form.prior: text features cannot be the prior of block states; choose 0, or \
                        method.closed_form.features = \"embedding\""
                    .to_owned(),
            );
        }
        if self.leaving && self.start.is_none() {
            return Err("method.closed_form.leaving: there are no sums to leave; name the run that the clients were \
                        counted in as method.closed_form.start"
                .to_owned());
        }
        Ok(())
    }
}

/// A linear classifier on frozen image features, solved from sums over all training images in one round and without a
/// gradient. Its logits are added to those of the prompts.
///
/// A client sends its [`Moments`]: `d (d + 1) / 2 + C d + C` numbers for `d` dimensions and `C` classes. The sums of
/// all clients are those of all images, so the classifier does not depend on the partition. A class without images
/// keeps its text logit; before the first round the model is exactly the zero-shot one.
#[derive(Debug, Clone)]
pub struct ClosedForm {
    /// The classifier to solve for: [`MethodName::Ridge`], [`MethodName::Lda`], [`MethodName::Gda`] or
    /// [`MethodName::Ncm`].
    pub name: MethodName,
    /// The settings.
    pub settings: ClosedFormConfig,
}

/// The default penalty of ridge regression, as a share of the mean eigenvalue of the Gram matrix.
const RIDGE_LAMBDA: f64 = 0.01;

/// Name prefix of the sums in a model.
const PARTS: &[&str] = &["closed_form."];

impl ClosedForm {
    /// The classifier solved from `moments`; `None` without images. For classes without images the column is zero.
    /// `texts` are the normalised features of the prompts, one row per class.
    pub(crate) fn solve(
        &self,
        moments: &Moments,
        texts: &[f32],
    ) -> Result<Option<LinearClassifier>, TuningError> {
        if moments.is_empty() {
            return Ok(None);
        }
        let ClosedFormConfig { lambda, prior, .. } = self.settings;
        // States of blocks are not in the space of text features.
        let none;
        let texts = match self.settings.features {
            HeadFeatures::Embedding => texts,
            HeadFeatures::Layers => {
                none = vec![0.0; moments.classes() * moments.dim()];
                &none[..]
            }
        };
        let solved = match self.name {
            MethodName::Lda => Lda { lambda }.solve(moments),
            MethodName::Gda => Gda::default().solve(moments, texts),
            MethodName::Ncm => Ncm::default().solve(moments, texts),
            _ => {
                let lambda = lambda.unwrap_or(RIDGE_LAMBDA);
                Ridge { lambda, prior, ..Ridge::default() }.solve(moments, texts)
            }
        };
        let mut solved = solved?;
        for (class, &count) in moments.class_counts().iter().enumerate() {
            if count == 0.0 {
                solved.weight[class * solved.dim..(class + 1) * solved.dim].fill(0.0);
                solved.bias[class] = 0.0;
            }
        }
        Ok(Some(solved))
    }

    /// The factor on the head's logits. Those of ridge regression are between 0 and 1, and those of nearest means are
    /// cosines, comparable to CLIP's before its temperature. Those of discriminant analysis are log densities, which
    /// Gaussian discriminant analysis divides by the number of images.
    pub fn weight(&self) -> f64 {
        self.settings.weight.unwrap_or(match self.name {
            MethodName::Lda => 1.0,
            MethodName::Gda => 10.0,
            MethodName::Ncm => 30.0,
            _ => 20.0,
        })
    }

    /// The classifier whose logits are added to those of the prompts.
    pub(crate) fn head(&self, solved: &LinearClassifier, device: &Device) -> LinearHead {
        let weight = self.weight();
        let times = |values: &[f32]| {
            values.iter().map(|value| (f64::from(*value) * weight) as f32).collect()
        };
        LinearHead::from_rows(times(&solved.weight), times(&solved.bias), device)
    }
}

/// The moments of a record. A server that averages, as Flower's own do, leaves means over an unknown number of images:
/// they are read as means of [`MEANS_OF`] images.
pub(crate) fn read(record: &ParameterRecord) -> Result<Moments, HeadsError> {
    let counts = record.get(CLASS_COUNTS).map(|counts| counts.to_f32().into_owned());
    let total: f64 = counts.unwrap_or_default().iter().map(|count| f64::from(*count)).sum();
    match (total - 1.0).abs() < 1e-2 {
        true => Moments::from_mean_record(record, MEANS_OF),
        false => Moments::from_record(record),
    }
}

/// The number of images assumed for means without one. It affects only rounding thresholds, and the shrinkage of
/// [`MethodName::Gda`] and, without a `lambda`, of [`MethodName::Lda`]: sites refuse these for servers that average.
const MEANS_OF: f64 = 10_000.0;

impl Method for ClosedForm {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn usual_loss(&self) -> LossKind {
        LossKind::ClassCe
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(PARTS)
    }

    fn readout(&self, config: &VisionConfig) -> Option<Readout> {
        let ClosedFormConfig { features, shifts, .. } = self.settings;
        let readout = match features {
            HeadFeatures::Embedding if !shifts => return None,
            HeadFeatures::Embedding => Readout::of_features(),
            HeadFeatures::Layers => Readout::of_layers(config),
        };
        Some(if shifts { readout.shifted() } else { readout })
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        let dim = match self.settings.features {
            HeadFeatures::Embedding => start.texts().dim,
            HeadFeatures::Layers => {
                let config = start.vision().ok_or(TuningError::NoVisionConfig)?;
                Readout::of_layers(config).width(config)
            }
        };
        let classes = start.prompts().classes();
        Ok(base.with_moments(MomentSums::zero(dim, classes, start.device)))
    }

    fn sum_up(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
    ) -> Result<Option<Summed>, TuningError> {
        let sums = model.moments().expect("`attach` gave it sums");
        let mut moments = Moments::new(sums.dim(), objective.prompts.classes());
        objective.features_in_batches(model, images, device, |images, features| {
            let labels: Vec<usize> = images.iter().map(|&image| objective.labels[image]).collect();
            Ok(moments.add_batch(&features, &labels, 1.0)?)
        })?;
        Ok(Some(Summed { sums: moments.to_record()?, means: moments.to_mean_record()? }))
    }

    fn ready(
        &self,
        objective: &Objective,
        model: TuningModel,
        device: &Device,
    ) -> Result<TuningModel, TuningError> {
        let moments = read(&self.trainable().record(&model)?)?;
        let solved = self.solve(&moments, &objective.class_texts(&model, device))?;
        Ok(match solved {
            Some(solved) => model.with_head(self.head(&solved, device)),
            None => model,
        })
    }

    fn logits(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        objective.joined(model, images, classes)
    }
}
