//! Additional features of a vision tower: states of its blocks, and means over shifted copies of the image.

use std::fmt;

use burn::tensor::Tensor;

use super::VisionModel;
use crate::encoder::indices;
use crate::{Clip, VisionConfig, normalize};

/// The features that are read from a vision tower besides the image feature. Blocks are counted from 1; block 0 is the
/// embeddings.
///
/// Middle blocks keep information on shapes and strokes that the last block has dropped for the words of its training,
/// and a slightly shifted image shows the same thing. A linear classifier therefore gains from both, compared to the
/// image feature alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Readout {
    /// The class token after these blocks, before the tower's last norm.
    pub class: Vec<usize>,
    /// The mean of the patches' states after these blocks.
    pub patches: Vec<usize>,
    /// Whether to take means over the image and its copies shifted left, right, up and down by 5/64 of its size, with
    /// its edge repeated; this takes five passes through the tower.
    pub shifts: bool,
}

/// The shift of an image relative to its size: 5 of 64 pixels.
const SHIFT: [usize; 2] = [5, 64];

impl Readout {
    /// The class token after the last block, and the patches after the last block and after two thirds of the blocks: 6
    /// and 4 of 6; 12 and 8 of 12.
    pub fn of_layers(config: &VisionConfig) -> Self {
        let blocks = config.num_hidden_layers;
        let mut patches = vec![blocks, (4 * blocks + 3) / 6];
        patches.dedup();
        Self { class: vec![blocks], patches, shifts: false }
    }

    /// No states of blocks.
    pub fn of_features() -> Self {
        Self { class: Vec::new(), patches: Vec::new(), shifts: false }
    }

    /// The same readout with shifted copies of the image.
    #[must_use]
    pub fn shifted(self) -> Self {
        Self { shifts: true, ..self }
    }

    /// The numbers per image of the states.
    pub fn width(&self, config: &VisionConfig) -> usize {
        self.parts() * config.hidden_size
    }

    fn parts(&self) -> usize {
        self.class.len() + self.patches.len()
    }
}

impl fmt::Display for Readout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, patches, shifts } = self;
        let moved = if *shifts { ", moved by 5/64" } else { "" };
        write!(f, "class tokens after {class:?}, patches after {patches:?}{moved}")
    }
}

impl VisionModel {
    /// [`VisionModel::forward`], bit-identical, and the states of `readout`, if it has any: each part has the same
    /// norm, and all of them together have norm 1.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, hidden_size]` and `[batch, parts * hidden_size]`
    ///
    /// # Panics
    ///
    /// If the images have another size, or the tower has fewer blocks than the readout.
    pub fn forward_reading(
        &self,
        images: Tensor<4>,
        readout: &Readout,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
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
        if readout.parts() == 0 {
            return (self.post_layernorm.forward(self.encoder.forward(x, false, classes)), None);
        }
        read(0, x.clone());
        let states = self.encoder.forward_reading(x, classes, &mut read);
        let parts: Vec<Tensor<2>> = class
            .into_iter()
            .chain(patches)
            .map(|part| part.expect("a block that the tower has"))
            .collect();
        let scale = 1.0 / (readout.parts() as f64).sqrt();
        (self.post_layernorm.forward(states), Some(Tensor::cat(parts, 1).mul_scalar(scale)))
    }
}

impl Clip {
    /// Image features of norm 1, their mean over the shifted copies (or the features again, without
    /// [`Readout::shifts`]), and the states of `readout`, which are means, too. Means have a norm below 1, and are not
    /// normalised again.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    /// - output: `[batch, 2 * projection_dim + readout.width()]`
    ///
    /// # Panics
    ///
    /// As [`VisionModel::forward_reading`].
    pub fn image_rows(&self, images: Tensor<4>, readout: &Readout) -> Tensor<2> {
        let rows = |images| {
            let (pooled, read) = self.vision_model.forward_reading(images, readout);
            let feature = normalize(self.visual_projection.forward(pooled));
            let seen = match read {
                Some(read) => Tensor::cat(vec![feature.clone(), read], 1),
                None => feature.clone(),
            };
            (feature, seen)
        };
        let (plain, mut seen) = rows(images.clone());
        if readout.shifts {
            let moved = shifted(images);
            let count = moved.len() + 1;
            seen = moved.into_iter().fold(seen, |sum, images| sum + rows(images).1);
            seen = seen.div_scalar(count as f64);
        }
        Tensor::cat(vec![plain, seen], 1)
    }
}

/// The images shifted left, right, up and down; the gap is filled with their edge.
fn shifted(images: Tensor<4>) -> Vec<Tensor<4>> {
    let size = images.dims()[3];
    let by = (SHIFT[0] * size + SHIFT[1] / 2) / SHIFT[1];
    let by = by.min(size - 1);
    let part = |dim: usize, from: usize, to: usize| images.clone().narrow(dim, from, to - from);
    let edge = |dim: usize, at: usize| part(dim, at, at + 1).repeat_dim(dim, by);
    let sides = [3, 2].map(|dim| {
        let back = Tensor::cat(vec![part(dim, by, size), edge(dim, size - 1)], dim);
        let forth = Tensor::cat(vec![edge(dim, 0), part(dim, 0, size - by)], dim);
        [back, forth]
    });
    sides.into_iter().flatten().collect()
}
