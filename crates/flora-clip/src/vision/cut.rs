//! A vision tower in two parts: the part below its first adapter, and the rest.

use std::fmt;

use burn::tensor::Tensor;

use super::{VisionModel, class_tokens};
use crate::encoder::Cut;

/// The position at which a vision tower is cut in two, below its first adapter: see [`VisionModel::cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisionCut {
    cut: Cut,
    /// Tokens per image: the class token and the patches.
    tokens: usize,
    width: usize,
}

impl VisionCut {
    /// The number of states per image at the cut, and the numbers per state. All tokens count, or, where only the class
    /// token is still needed, one or two.
    pub fn shape(&self) -> [usize; 2] {
        let states = match self.cut {
            Cut::Before(_) | Cut::Attended(_) => self.tokens,
            Cut::LastMixed => 2,
            Cut::LastAttended | Cut::Above => 1,
        };
        [states, self.width]
    }

    /// The numbers per image at the cut.
    pub fn numbers(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether the cut is above all blocks, so that none has an adapter.
    pub fn is_above_all_blocks(&self) -> bool {
        self.cut == Cut::Above
    }

    /// Whether storing states is worthwhile: the part below is more than a part of the first block. If not, an image's
    /// states have about as many numbers as its pixels, and storing them saves little.
    pub fn is_worth_keeping(&self) -> bool {
        !matches!(self.cut, Cut::Before(0) | Cut::Attended(0))
    }
}

/// A description, with blocks counted from 0 as in the names of parameters.
impl fmt::Display for VisionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            Cut::Before(block) => write!(f, "before block {block}"),
            Cut::Attended(block) => write!(f, "after the attention of block {block}"),
            Cut::LastMixed => f.write_str("before the output projection of the last block"),
            Cut::LastAttended => f.write_str("after the attention of the last block"),
            Cut::Above => f.write_str("after the last block"),
        }
    }
}

impl VisionModel {
    /// The cut below the tower's current first adapter; after the last block if there is none.
    pub fn cut(&self) -> VisionCut {
        let positions = self.embeddings.position_embedding.weight.lazy_shape();
        VisionCut { cut: self.encoder.cut(), tokens: positions[0], width: positions[1] }
    }

    /// The part of [`VisionModel::forward`] below `cut`. Compute it once for images that are used repeatedly while only
    /// adapters above change.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, cut.numbers()]`
    ///
    /// # Panics
    ///
    /// If the images have another size, or the cut belongs to a tower with other blocks.
    pub fn prefix(&self, images: Tensor<4>, cut: VisionCut) -> Tensor<2> {
        let x = self.pre_layrnorm.forward(self.embeddings.forward(images));
        let [batch, length, _] = x.dims();
        let classes = class_tokens(batch, length, &x.device());
        self.encoder.below(x, classes, cut.cut)
    }

    /// The rest of [`VisionModel::forward`], from a [`VisionModel::prefix`] at `cut`.
    ///
    /// # Shapes
    ///
    /// - below: `[batch, cut.numbers()]`
    /// - output: `[batch, hidden_size]`
    ///
    /// # Panics
    ///
    /// If the shapes are inconsistent.
    pub fn forward_from(&self, below: Tensor<2>, cut: VisionCut) -> Tensor<2> {
        let [batch, numbers] = below.dims();
        assert_eq!(numbers, cut.numbers(), "the numbers of an image {cut}");
        let classes = class_tokens(batch, cut.tokens, &below.device());
        let states = self.encoder.above(below, classes, cut.tokens, cut.cut);
        self.post_layernorm.forward(states)
    }
}
