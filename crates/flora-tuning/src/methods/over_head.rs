use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use flora_clip::{Readout, VisionConfig};
use flora_heads::Moments;

use super::{ClosedForm, Flora, Method, Start};
use crate::{LossKind, Objective, Trainable, TuningError, TuningModel};

/// [`Flora`] with an existing closed-form classifier: the adapters are trained on the residual of its predictions. Its
/// logits are added to those of the prompts, in the loss and in prediction, and it is not trained.
#[derive(Debug, Clone)]
pub(crate) struct OverHead {
    pub(crate) flora: Flora,
    pub(crate) head: ClosedForm,
    /// The moments from which the head is solved.
    pub(crate) moments: Arc<Moments>,
}

impl Method for OverHead {
    fn name(&self) -> &str {
        self.flora.name()
    }

    fn usual_loss(&self) -> LossKind {
        self.flora.usual_loss()
    }

    fn starts_from_texts(&self) -> bool {
        true
    }

    fn readout(&self, config: &VisionConfig) -> Option<Readout> {
        self.head.readout(config)
    }

    fn trainable(&self) -> Trainable {
        self.flora.trainable()
    }

    fn trains_vision(&self) -> bool {
        self.flora.trains_vision()
    }

    fn trains_text(&self) -> bool {
        self.flora.trains_text()
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        // The texts of the base, before an adapter changes them: the head was solved with these.
        let solved = self.head.solve(&self.moments, &start.texts().values)?;
        let base = match solved {
            Some(solved) => base.with_head(self.head.head(&solved, start.device).no_grad()),
            None => base,
        };
        self.flora.attach(base, start)
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
