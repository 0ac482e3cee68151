//! A vision tower in two parts: what lies below its first adapter, and the rest.

use std::fmt;

use burn::tensor::Tensor;

use super::{VisionModel, class_tokens};
use crate::encoder::Cut;

/// Where a vision tower is cut in two, below its first adapter: see [`VisionModel::cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisionCut {
    cut: Cut,
    /// Of an image: the class token and the patches.
    tokens: usize,
    width: usize,
}

impl VisionCut {
    /// How many states of how many numbers there are of an image at the cut. All of its tokens, or where only
    /// those of the class token are needed any more, one or two.
    pub fn shape(&self) -> [usize; 2] {
        let states = match self.cut {
            Cut::Before(_) | Cut::Attended(_) => self.tokens,
            Cut::LastMixed => 2,
            Cut::LastAttended | Cut::Above => 1,
        };
        [states, self.width]
    }

    /// The numbers of an image at the cut.
    pub fn numbers(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether all of the tower's blocks lie below, so that none has an adapter.
    pub fn is_above_all_blocks(&self) -> bool {
        self.cut == Cut::Above
    }

    /// Whether the tower below is more than a part of its first block. If not, an image's states are about as
    /// many numbers as its pixels, and hardly anything is saved by keeping them.
    pub fn is_worth_keeping(&self) -> bool {
        !matches!(self.cut, Cut::Before(0) | Cut::Attended(0))
    }
}

/// In words, the blocks counted from 0 as in the names of parameters.
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
    /// The cut below the first adapter that the tower has now; after the last block if it has none.
    pub fn cut(&self) -> VisionCut {
        let positions = self.embeddings.position_embedding.weight.lazy_shape();
        VisionCut { cut: self.encoder.cut(), tokens: positions[0], width: positions[1] }
    }

    /// As much of [`VisionModel::forward`] as lies below `cut`, for images that it is computed of again and again
    /// while nothing changes but adapters above.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, cut.numbers()]`
    ///
    /// # Panics
    ///
    /// Panics if the images have another size, and if the cut is one of a tower with other blocks.
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
    /// Panics if the shapes do not fit together.
    pub fn forward_from(&self, below: Tensor<2>, cut: VisionCut) -> Tensor<2> {
        let [batch, numbers] = below.dims();
        assert_eq!(numbers, cut.numbers(), "the numbers of an image {cut}");
        let classes = class_tokens(batch, cut.tokens, &below.device());
        let states = self.encoder.above(below, classes, cut.tokens, cut.cut);
        self.post_layernorm.forward(states)
    }
}
