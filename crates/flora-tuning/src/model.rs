use burn::module::{Module, Param};
use burn::tensor::Tensor;
use flora_clip::{Clip, TextModel, Tokens, VisionModel};
use flora_lora::{AdaptableModule, LoraLinear};

/// The part of a CLIP that a client needs: the text tower, and the vision tower only where images
/// are still to be encoded. Parameters have the names that they have in [`Clip`].
#[derive(Module, Debug)]
pub struct TuningModel {
    text_model: TextModel,
    text_projection: LoraLinear,
    vision_model: Option<VisionModel>,
    visual_projection: Option<LoraLinear>,
}

impl TuningModel {
    /// Take what is needed from `clip`; nothing is copied.
    pub fn new(clip: Clip, with_vision: bool) -> Self {
        Self {
            text_model: clip.text_model,
            text_projection: clip.text_projection,
            vision_model: with_vision.then_some(clip.vision_model),
            visual_projection: with_vision.then_some(clip.visual_projection),
        }
    }

    /// The CLIP that it was taken from, with the weights that it has now; `None` without its vision tower.
    pub(crate) fn into_clip(self, logit_scale: Param<Tensor<1>>) -> Option<Clip> {
        Some(Clip {
            text_model: self.text_model,
            text_projection: self.text_projection,
            vision_model: self.vision_model?,
            visual_projection: self.visual_projection?,
            logit_scale,
        })
    }

    /// Text features of any length: `[tokens.rows(), projection_dim]`.
    pub fn text_features(&self, tokens: &Tokens) -> Tensor<2> {
        self.text_projection.forward(self.text_model.forward(tokens))
    }

    /// Image features of any length: `[batch, projection_dim]` from `[batch, 3, size, size]`.
    ///
    /// # Panics
    ///
    /// Panics if the model was taken without its vision tower.
    pub fn image_features(&self, images: Tensor<4>) -> Tensor<2> {
        let (Some(tower), Some(projection)) = (&self.vision_model, &self.visual_projection) else {
            panic!("a model whose image features are cached has no vision tower");
        };
        projection.forward(tower.forward(images))
    }
}

impl AdaptableModule for TuningModel {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        let mut layers = self.text_model.adaptable_layers();
        layers.push(("text_projection".into(), &mut self.text_projection));
        if let Some(tower) = &mut self.vision_model {
            layers.extend(tower.adaptable_layers());
        }
        if let Some(projection) = &mut self.visual_projection {
            layers.push(("visual_projection".into(), projection));
        }
        layers
    }
}
