use flora_lora::{LoraConfig, Towers, attach};

use super::{Method, MethodName, Start};
use crate::{Trainable, TuningError, TuningModel};

/// FLoRA ([arXiv 2404.15182](https://arxiv.org/abs/2404.15182)): LoRA adapters on a frozen CLIP, averaged
/// by the server. Trained and sent: `r (d_in + d_out)` numbers for each adapted layer; 24,576 for the
/// paper's adapter of ViT-B/32.
#[derive(Debug, Clone)]
pub struct Flora(pub LoraConfig);

impl Method for Flora {
    fn name(&self) -> &str {
        MethodName::Flora.as_str()
    }

    fn trainable(&self) -> Trainable {
        Trainable::Adapters
    }

    fn trains_vision(&self) -> bool {
        self.0.towers != Towers::Text
    }

    fn trains_text(&self) -> bool {
        self.0.towers != Towers::Vision
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(attach(base, &self.0, start.seed)?)
    }
}
