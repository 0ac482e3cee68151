//! More of what a vision tower sees than its image feature: states of its blocks.

use std::fmt;

use burn::tensor::Tensor;

use super::VisionModel;
use crate::encoder::indices;
use crate::{Clip, VisionConfig, normalize};

/// Which states of a vision tower are read besides the image feature. Blocks are counted from 1; those of 0 are the
/// embeddings.
///
/// Middle blocks know of shapes and strokes that the last one has given up for the words of its training; a linear
/// classifier finds more in both together than in the image feature alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Readout {
    /// The class token after these blocks, before the tower's last norm.
    pub class: Vec<usize>,
    /// The mean of the patches' states after these blocks.
    pub patches: Vec<usize>,
}

impl Readout {
    /// The class token after the last block, and the patches after the last block, five sixths and two thirds of the
    /// blocks: 6, 5 and 4 of 6; 12, 10 and 8 of 12.
    pub fn usual(config: &VisionConfig) -> Self {
        let blocks = config.num_hidden_layers;
        let mut patches: Vec<usize> =
            [6, 5, 4].map(|sixths| (2 * sixths * blocks + 6) / 12).to_vec();
        patches.dedup();
        Self { class: vec![blocks], patches }
    }

    /// Numbers of an image.
    pub fn width(&self, config: &VisionConfig) -> usize {
        self.parts() * config.hidden_size
    }

    fn parts(&self) -> usize {
        self.class.len() + self.patches.len()
    }
}

impl fmt::Display for Readout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class tokens after {:?}, patches after {:?}", self.class, self.patches)
    }
}

impl VisionModel {
    /// [`VisionModel::forward`], with the bits that it has, and the states of `readout`: each part of length 1, and all
    /// of them together, too.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, hidden_size]` and `[batch, parts * hidden_size]`
    ///
    /// # Panics
    ///
    /// Panics if the images have another size, or the tower not so many blocks.
    pub fn forward_reading(&self, images: Tensor<4>, readout: &Readout) -> (Tensor<2>, Tensor<2>) {
        let x = self.pre_layrnorm.forward(self.embeddings.forward(images));
        let [batch, length, width] = x.dims();
        let classes = indices((0..batch).map(|item| item * length), &x.device());
        let (mut class, mut patches) =
            (vec![None; readout.class.len()], vec![None; readout.patches.len()]);
        let mut read = |done: usize, x: Tensor<3>| {
            for (place, _) in readout.class.iter().enumerate().filter(|(_, block)| **block == done)
            {
                let token = x.clone().slice([0..batch, 0..1, 0..width]).reshape([batch, width]);
                class[place] = Some(normalize(token));
            }
            for (place, _) in
                readout.patches.iter().enumerate().filter(|(_, block)| **block == done)
            {
                let mean = x.clone().slice([0..batch, 1..length, 0..width]).mean_dim(1);
                patches[place] = Some(normalize(mean.reshape([batch, width])));
            }
        };
        read(0, x.clone());
        let states = self.encoder.forward_reading(x, classes, &mut read);
        let parts: Vec<Tensor<2>> = class
            .into_iter()
            .chain(patches)
            .map(|part| part.expect("a block that the tower has"))
            .collect();
        let scale = 1.0 / (readout.parts() as f64).sqrt();
        (self.post_layernorm.forward(states), Tensor::cat(parts, 1) * scale)
    }
}

impl Clip {
    /// [`Clip::image_features`], and behind it the states of `readout`.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    /// - output: `[batch, projection_dim + readout.width()]`
    ///
    /// # Panics
    ///
    /// As [`VisionModel::forward_reading`].
    pub fn image_rows(&self, images: Tensor<4>, readout: &Readout) -> Tensor<2> {
        let (pooled, read) = self.vision_model.forward_reading(images, readout);
        Tensor::cat(vec![self.visual_projection.forward(pooled), read], 1)
    }
}
