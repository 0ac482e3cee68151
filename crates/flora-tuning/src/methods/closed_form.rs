use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use flora_core::ParameterRecord;
use flora_heads::{Gda, LinearClassifier, Moments, Ncm, Ridge};
use serde::{Deserialize, Serialize};

use super::{Method, MethodName, Start};
use crate::{LinearHead, LossKind, MomentSums, Objective, Trainable, TuningError, TuningModel};

/// Settings of the methods that are solved in closed form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClosedFormConfig {
    /// How strongly the classifier is held to its prior, as a share of the mean eigenvalue of the features' second
    /// moments; above 0.
    pub lambda: f64,
    /// How much of the text classifier is the prior of [`Ridge`], in targets of 0 and 1.
    pub prior: f64,
    /// The factor on the head's logits, which are added to those of the prompts.
    pub weight: f64,
    /// A run of a closed-form method, or its `trained.safetensors`, whose sums those of this run's clients are added
    /// to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The clients of this run leave: their sums are taken away from those of `start`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl Default for ClosedFormConfig {
    fn default() -> Self {
        Self { lambda: 0.1, prior: 0.0, weight: 20.0, start: None, leaving: false }
    }
}

impl ClosedFormConfig {
    /// Whether all is as in an experiment that says nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the values, by field.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (field, value, least) in [
            ("lambda", self.lambda, f64::MIN_POSITIVE),
            ("prior", self.prior, 0.0),
            ("weight", self.weight, 0.0),
        ] {
            if !(value.is_finite() && value >= least) {
                let wanted =
                    if least > 0.0 { "a positive number" } else { "0 or a positive number" };
                return Err(format!("method.closed_form.{field}: {value} is not {wanted}"));
            }
        }
        if self.leaving && self.start.is_none() {
            return Err("method.closed_form.leaving: there is nothing to leave; name the run that the clients were \
                        counted in as method.closed_form.start"
                .to_owned());
        }
        Ok(())
    }
}

/// A linear classifier on frozen image features that is solved from sums over all training images, in one round and
/// without a gradient, and whose logits are added to those of the prompts.
///
/// What a client sends is its [`Moments`]: `d (d + 1) / 2 + C d + C` numbers for `d` dimensions and `C` classes. The sums
/// of all clients are those of all images, so that the classifier does not depend on who holds which. A class that
/// nobody has an image of keeps its text logit; before the first round the model is exactly the zero-shot one.
#[derive(Debug, Clone)]
pub struct ClosedForm {
    /// Which classifier is solved for: [`MethodName::Ridge`], [`MethodName::Gda`] or [`MethodName::Ncm`].
    pub name: MethodName,
    /// How.
    pub settings: ClosedFormConfig,
}

/// Where the sums are in a model.
const PARTS: &[&str] = &["closed_form."];

impl ClosedForm {
    /// The classifier that follows from `moments`; `None` before there is an image. Of classes without images the
    /// column is zero. `texts` are the normalised features of the prompts, a row a class.
    pub(crate) fn solve(
        &self,
        moments: &Moments,
        texts: &[f32],
    ) -> Result<Option<LinearClassifier>, TuningError> {
        if moments.total() <= 0.0 {
            return Ok(None);
        }
        let ClosedFormConfig { lambda, prior, .. } = self.settings;
        let solved = match self.name {
            MethodName::Gda => Gda { lambda }.solve(moments, texts),
            MethodName::Ncm => Ncm.solve(moments, texts),
            _ => Ridge { lambda, prior }.solve(moments, texts),
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

    /// The classifier as it is added to the logits of the prompts.
    pub(crate) fn head(&self, solved: &LinearClassifier, device: &Device) -> LinearHead {
        let times = |values: &[f32]| {
            values.iter().map(|value| (f64::from(*value) * self.settings.weight) as f32).collect()
        };
        LinearHead::from_rows(times(&solved.weight), times(&solved.bias), device)
    }
}

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

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        let (dim, classes) = (start.texts().dim, start.prompts().classes());
        Ok(base.with_moments(MomentSums::zero(dim, classes, start.device)))
    }

    fn sum_up(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
    ) -> Result<Option<ParameterRecord>, TuningError> {
        let sums = model.moments().expect("`attach` gave it sums");
        let mut moments = Moments::new(sums.dim(), objective.prompts.classes());
        objective.features_in_batches(model, images, device, |images, features| {
            let labels: Vec<usize> = images.iter().map(|&image| objective.labels[image]).collect();
            moments.add_batch(&features, &labels, 1.0);
        })?;
        Ok(Some(moments.to_mean_record()))
    }

    fn ready(
        &self,
        objective: &Objective,
        model: TuningModel,
        device: &Device,
    ) -> Result<TuningModel, TuningError> {
        let moments = Moments::from_record(&self.trainable().record(&model)?)?;
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
