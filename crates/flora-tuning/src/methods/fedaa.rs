use burn::tensor::Tensor;

use super::{Method, MethodName, Start};
use crate::{AttentionAdapter, Objective, Trainable, TuningError, TuningModel};

/// FedCLIP's attention adapter ([arXiv 2302.13485](https://arxiv.org/abs/2302.13485)), called FedAA in the FLoRA paper:
/// a small network weights the image features. Trained and sent: `2 d (d + 1)` numbers, with `d` the shared dimension;
/// 525,312 for ViT-B/32.
///
/// The network starts with identity matrices. Its softmax is then not uniform, so the initial model is nearly, but not
/// exactly, the zero-shot one.
#[derive(Debug, Clone, Copy)]
pub struct FedAa;

impl Method for FedAa {
    fn name(&self) -> &str {
        MethodName::FedAa.as_str()
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&["image_adapter."])
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        let dim = start.texts().dim;
        Ok(base.with_image_adapter(AttentionAdapter::identity(dim, start.device)))
    }

    fn logits(
        &self,
        objective: &Objective,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        let adapter = model.image_adapter().expect("`attach` gave it an adapter");
        objective.similarities(model, adapter.forward(images), classes)
    }
}
