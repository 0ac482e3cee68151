use burn::module::{Module, Param};
use burn::tensor::Tensor;
use flora_clip::{
    Clip, ClipError, ClipText, Precision, TextModel, TextPrefix, Tokens, VisionCut, VisionModel,
};
use flora_lora::{AdaptableModule, LoraLinear};

use crate::{AttentionAdapter, LinearHead, MomentSums};

/// A client's CLIP model with its method's modules; the vision tower is included only if images are still to be
/// encoded. CLIP's parameters have the same names as in [`Clip`].
#[derive(Module, Debug)]
pub struct TuningModel {
    text_model: TextModel,
    text_projection: LoraLinear,
    vision_model: Option<VisionModel>,
    visual_projection: Option<LoraLinear>,
    head: Option<LinearHead>,
    image_adapter: Option<AttentionAdapter>,
    /// `[length, width]`.
    context: Option<Param<Tensor<2>>>,
    closed_form: Option<MomentSums>,
}

impl TuningModel {
    /// Takes the needed parts of `clip`; nothing is copied.
    pub fn new(clip: Clip, with_vision: bool) -> Self {
        let (text, vision) = clip.split();
        let vision = with_vision.then_some(vision);
        let (vision_model, visual_projection) =
            vision.map(|half| (half.vision_model, half.visual_projection)).unzip();
        Self { vision_model, visual_projection, ..Self::from_text(text) }
    }

    /// A model without the vision tower, for cached image features.
    pub fn from_text(text: ClipText) -> Self {
        Self {
            text_model: text.text_model,
            text_projection: text.text_projection,
            vision_model: None,
            visual_projection: None,
            head: None,
            image_adapter: None,
            context: None,
            closed_form: None,
        }
    }

    /// Adds a classifier; see [`TuningModel::head`].
    pub fn with_head(self, head: LinearHead) -> Self {
        Self { head: Some(head), ..self }
    }

    /// Adds weights of image features; see [`TuningModel::image_adapter`].
    pub fn with_image_adapter(self, adapter: AttentionAdapter) -> Self {
        Self { image_adapter: Some(adapter), ..self }
    }

    /// Adds learned context vectors, `[length, width]`; see [`TuningModel::text_features`].
    pub fn with_context(self, context: Param<Tensor<2>>) -> Self {
        Self { context: Some(context), ..self }
    }

    /// Adds the sums of a closed-form method; see [`TuningModel::moments`].
    pub fn with_moments(self, sums: MomentSums) -> Self {
        Self { closed_form: Some(sums), ..self }
    }

    /// The sums from which a closed-form method solves its classifier.
    pub fn moments(&self) -> Option<&MomentSums> {
        self.closed_form.as_ref()
    }

    /// The classifier, if the method has one.
    pub fn head(&self) -> Option<&LinearHead> {
        self.head.as_ref()
    }

    /// The weights of image features, if the method has them.
    pub fn image_adapter(&self) -> Option<&AttentionAdapter> {
        self.image_adapter.as_ref()
    }

    /// The CLIP model with the current weights; `None` without its vision tower.
    pub(crate) fn into_clip(self, logit_scale: Param<Tensor<1>>) -> Option<Clip> {
        Some(Clip {
            text_model: self.text_model,
            text_projection: self.text_projection,
            vision_model: self.vision_model?,
            visual_projection: self.visual_projection?,
            logit_scale,
        })
    }

    /// The text tower's width.
    pub fn text_width(&self) -> usize {
        self.text_projection.dims()[0]
    }

    /// Dimensions of the shared embedding space.
    pub fn projection_dim(&self) -> usize {
        self.text_projection.dims()[1]
    }

    /// The embeddings of these tokens, `[ids.len(), width]`, detached from any graph.
    pub fn embed(&self, ids: &[u32]) -> Tensor<2> {
        self.text_model.embeddings.embed(ids).detach()
    }

    /// Text features of any norm: `[tokens.rows(), projection_dim]`. Learned context vectors replace as many tokens
    /// after the first.
    pub fn text_features(&self, tokens: &Tokens) -> Tensor<2> {
        let states = match &self.context {
            None => self.text_model.forward(tokens),
            Some(context) => self.text_model.forward_with_context(tokens, context.val()),
        };
        self.text_projection.forward(states)
    }

    /// The states of the text features below the first adapter. See [`TextModel::prefix`].
    pub fn text_prefix(&self, tokens: &Tokens) -> TextPrefix {
        self.text_model.prefix(tokens)
    }

    /// [`TuningModel::text_features`] of some texts, computed from a prefix.
    pub fn text_features_from(&self, prefix: &TextPrefix, texts: &[usize]) -> Tensor<2> {
        self.text_projection.forward(self.text_model.forward_from(prefix, texts))
    }

    /// Image features of any norm: `[batch, projection_dim]` from `[batch, 3, size, size]`.
    ///
    /// # Panics
    ///
    /// Panics if the model has no vision tower.
    pub fn image_features(&self, images: Tensor<4>) -> Tensor<2> {
        let (tower, projection) = self.vision();
        projection.forward(tower.forward(images))
    }

    /// The cut of the vision tower below its current first adapter; `None` without the tower, or if neither it nor its
    /// projection has an adapter.
    pub fn vision_cut(&self) -> Option<VisionCut> {
        let (tower, projection) =
            self.vision_model.as_ref().zip(self.visual_projection.as_ref())?;
        let cut = tower.cut();
        (projection.lora.is_some() || !cut.is_above_all_blocks()).then_some(cut)
    }

    /// The same model, whose vision tower, if any, multiplies in `precision` below its adapters; see
    /// [`VisionModel::in_precision`].
    ///
    /// # Errors
    ///
    /// A device that does not support it.
    pub fn in_precision(self, precision: Precision) -> Result<Self, ClipError> {
        let tower = self.vision_model.map(|tower| tower.in_precision(precision)).transpose()?;
        Ok(Self { vision_model: tower, ..self })
    }

    /// The states of the image features below `cut`, `[batch, cut.numbers()]` from `[batch, 3, size, size]`.
    ///
    /// # Panics
    ///
    /// The panics of [`TuningModel::image_features`].
    pub fn image_prefix(&self, images: Tensor<4>, cut: VisionCut) -> Tensor<2> {
        self.vision().0.prefix(images, cut)
    }

    /// [`TuningModel::image_features`] from a [`TuningModel::image_prefix`] at `cut`.
    ///
    /// # Panics
    ///
    /// The panics of [`TuningModel::image_features`].
    pub fn image_features_from(&self, below: Tensor<2>, cut: VisionCut) -> Tensor<2> {
        let (tower, projection) = self.vision();
        projection.forward(tower.forward_from(below, cut))
    }

    fn vision(&self) -> (&VisionModel, &LoraLinear) {
        let vision = self.vision_model.as_ref().zip(self.visual_projection.as_ref());
        vision.expect("a model whose image features are cached has no vision tower")
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
