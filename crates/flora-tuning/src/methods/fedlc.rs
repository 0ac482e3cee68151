use burn::tensor::Tensor;
use flora_clip::normalize;

use super::{Method, MethodName, Start};
use crate::{LinearHead, LossKind, Objective, Trainable, TuningError, TuningModel};

/// A linear classifier on the normalised image features of a frozen CLIP. It starts as the zero-shot classifier: its
/// matrix contains the prompts' features, its bias is zero; there is no temperature. Trained and sent: `(projection_dim
/// + 1) classes` numbers.
#[derive(Debug, Clone, Copy)]
pub struct FedLc;

impl Method for FedLc {
    fn name(&self) -> &str {
        MethodName::FedLc.as_str()
    }

    fn usual_loss(&self) -> LossKind {
        LossKind::ClassCe
    }

    fn has_head(&self) -> bool {
        true
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&["head."])
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(with_head(base, start))
    }

    fn logits(
        &self,
        _objective: &Objective,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        head_logits(model, images, classes)
    }
}

/// The model with a head that predicts the same as the prompts.
pub(super) fn with_head(base: TuningModel, start: &Start<'_>) -> TuningModel {
    base.with_head(LinearHead::from_texts(&start.texts(), start.device))
}

/// The logits of the head's columns for these classes.
pub(super) fn head_logits(model: &TuningModel, images: Tensor<2>, classes: &[usize]) -> Tensor<2> {
    let head = model.head().expect("`attach` gave it a head");
    head.forward(normalize(images), classes)
}
