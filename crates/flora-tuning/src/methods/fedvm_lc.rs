use burn::tensor::Tensor;

use super::fedlc::{head_logits, with_head};
use super::{Method, MethodName, Start};
use crate::{LossKind, Objective, Trainable, TuningError, TuningModel};

/// The head of [`FedLc`](super::FedLc) together with the vision tower and its projection. Trained and sent: 87,849,216
/// numbers for ViT-B/32, plus the head's.
#[derive(Debug, Clone, Copy)]
pub struct FedVmLc;

impl Method for FedVmLc {
    fn name(&self) -> &str {
        MethodName::FedVmLc.as_str()
    }

    fn usual_loss(&self) -> LossKind {
        LossKind::ClassCe
    }

    fn has_head(&self) -> bool {
        true
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&["head.", "vision_model.", "visual_projection."])
    }

    fn trains_vision(&self) -> bool {
        true
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(self.trainable().release(with_head(base, start), start.device))
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
