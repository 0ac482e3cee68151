use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use flora_lora::{AdaptableModule, LoraLinear};

use crate::encoder::linear;
use crate::{ClipConfig, TextModel, Tokens, VisionModel};

/// CLIP ([arXiv 2103.00020](https://arxiv.org/abs/2103.00020)): two towers that embed into one space.
///
/// Parameters have the names of Hugging Face's `CLIPModel`.
#[derive(Module, Debug)]
pub struct Clip {
    /// The text tower.
    pub text_model: TextModel,
    /// The vision tower.
    pub vision_model: VisionModel,
    /// From the vision tower's width to the shared space; no bias.
    pub visual_projection: LoraLinear,
    /// From the text tower's width to the shared space; no bias.
    pub text_projection: LoraLinear,
    /// Logarithm of the factor on cosine similarities, `[1]` (a scalar in the files).
    pub logit_scale: Param<Tensor<1>>,
}

/// The text half of a CLIP. Its parameters keep their names.
#[derive(Module, Debug)]
pub struct ClipText {
    /// The text tower.
    pub text_model: TextModel,
    /// From the text tower's width to the shared space; no bias.
    pub text_projection: LoraLinear,
}

/// The vision half of a CLIP. Its parameters keep their names.
#[derive(Module, Debug)]
pub struct ClipVision {
    /// The vision tower.
    pub vision_model: VisionModel,
    /// From the vision tower's width to the shared space; no bias.
    pub visual_projection: LoraLinear,
}

impl Clip {
    /// A model of this shape without parameter values: [`Clip::random`] draws them, or
    /// [`Checkpoint`](crate::Checkpoint) loads them.
    pub(crate) fn skeleton(config: &ClipConfig, device: &Device) -> Self {
        let (text, vision) = (&config.text_config, &config.vision_config);
        Self {
            text_model: TextModel::new(text, device),
            vision_model: VisionModel::new(vision, device),
            visual_projection: linear(vision.hidden_size, config.projection_dim, false, device),
            text_projection: linear(text.hidden_size, config.projection_dim, false, device),
            logit_scale: Initializer::Constant { value: config.logit_scale_init_value }
                .init([1], device),
        }
    }

    /// Image features in the shared space, not normalised.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    /// - output: `[batch, projection_dim]`
    pub fn image_features(&self, images: Tensor<4>) -> Tensor<2> {
        self.visual_projection.forward(self.vision_model.forward(images))
    }

    /// [`Clip::image_features`] from a subset of each image's patches, for training: see
    /// [`VisionModel::forward_patches`].
    ///
    /// # Panics
    ///
    /// As [`VisionModel::forward_patches`].
    pub fn image_features_of_patches(&self, images: Tensor<4>, kept: &[Vec<usize>]) -> Tensor<2> {
        self.visual_projection.forward(self.vision_model.forward_patches(images, kept))
    }

    /// Text features in the shared space, not normalised: `[tokens.rows(), projection_dim]`.
    pub fn text_features(&self, tokens: &Tokens) -> Tensor<2> {
        self.text_projection.forward(self.text_model.forward(tokens))
    }

    /// Scaled cosine similarities, `[images, texts]`.
    pub fn logits_per_image(&self, images: Tensor<4>, tokens: &Tokens) -> Tensor<2> {
        let images = normalize(self.image_features(images));
        let texts = normalize(self.text_features(tokens));
        images.matmul(texts.transpose()) * self.logit_scale.val().exp().reshape([1, 1])
    }

    /// The factor on cosine similarities, `exp(logit_scale)` (about 100 in OpenAI's checkpoints).
    pub fn temperature_factor(&self) -> f32 {
        self.logit_scale.val().detach().exp().into_scalar::<f32>()
    }

    /// Splits the model into its two halves; nothing is copied.
    pub fn split(self) -> (ClipText, ClipVision) {
        (
            ClipText { text_model: self.text_model, text_projection: self.text_projection },
            ClipVision {
                vision_model: self.vision_model,
                visual_projection: self.visual_projection,
            },
        )
    }
}

impl ClipText {
    /// Text features in the shared space, not normalised: `[tokens.rows(), projection_dim]`.
    pub fn features(&self, tokens: &Tokens) -> Tensor<2> {
        self.text_projection.forward(self.text_model.forward(tokens))
    }
}

impl ClipVision {
    /// Image features in the shared space, not normalised: `[batch, projection_dim]` from `[batch, 3, image_size,
    /// image_size]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.visual_projection.forward(self.vision_model.forward(images))
    }
}

/// Divides each row by its Euclidean norm.
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().powi_scalar(2).sum_dim(1).sqrt();
    x / length
}

impl AdaptableModule for Clip {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        let mut layers = self.text_model.adaptable_layers();
        layers.push(("text_projection".into(), &mut self.text_projection));
        layers.extend(self.vision_model.adaptable_layers());
        layers.push(("visual_projection".into(), &mut self.visual_projection));
        layers
    }
}

impl AdaptableModule for ClipText {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        let mut layers = self.text_model.adaptable_layers();
        layers.push(("text_projection".into(), &mut self.text_projection));
        layers
    }
}

impl AdaptableModule for ClipVision {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        let mut layers = self.vision_model.adaptable_layers();
        layers.push(("visual_projection".into(), &mut self.visual_projection));
        layers
    }
}
