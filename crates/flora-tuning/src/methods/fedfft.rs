use super::{Method, MethodName, Start};
use crate::{Trainable, TuningError, TuningModel};

/// Federated full fine-tuning: every weight of both towers, the reference for FLoRA. Trained and sent: the whole model
/// except its temperature; 151,277,312 numbers for ViT-B/32.
#[derive(Debug, Clone, Copy)]
pub struct FedFft;

impl Method for FedFft {
    fn name(&self) -> &str {
        MethodName::FedFft.as_str()
    }

    fn trainable(&self) -> Trainable {
        Trainable::Everything
    }

    fn trains_vision(&self) -> bool {
        true
    }

    fn trains_text(&self) -> bool {
        true
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(self.trainable().release(base, start.device))
    }
}
