//! More of what a vision tower sees than its image feature: states of its blocks, and the image a little aside.

use std::fmt;

use burn::tensor::Tensor;

use super::VisionModel;
use crate::encoder::indices;
use crate::{Clip, VisionConfig, normalize};

/// What is read of a vision tower besides the image feature. Blocks are counted from 1; those of 0 are the embeddings.
///
/// Middle blocks know of shapes and strokes that the last one has given up for the words of its training, and an image
/// that is moved a little is the same image: a linear classifier finds more in the mean of both than in the image
/// feature alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Readout {
    /// The class token after these blocks, before the tower's last norm.
    pub class: Vec<usize>,
    /// The mean of the patches' states after these blocks.
    pub patches: Vec<usize>,
    /// Means over the image as it is and moved to the left, right, up and down by 5/64 of its size, with its edge
    /// repeated; five passes through the tower.
    pub shifts: bool,
}

/// By how much of its size an image is moved: 5 of 64 pixels.
const SHIFT: [usize; 2] = [5, 64];

impl Readout {
    /// The class token after the last block, and the patches after the last block and two thirds of the blocks: 6 and 4
    /// of 6; 12 and 8 of 12.
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

    /// The same, of the image and what is a little aside of it.
    #[must_use]
    pub fn shifted(self) -> Self {
        Self { shifts: true, ..self }
    }

    /// Numbers of the states of an image.
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
    /// [`VisionModel::forward`], with the bits that it has, and the states of `readout`, if it has some: each part of the
    /// same length, and all of them together of length 1.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, hidden_size]` and `[batch, parts * hidden_size]`
    ///
    /// # Panics
    ///
    /// Panics if the images have another size, or the tower not so many blocks.
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
    /// Image features of length 1, their mean over what is a little aside (or again, without [`Readout::shifts`]), and
    /// the states of `readout`, whose mean that is, too. Means are shorter than 1 and stay so.
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

/// The images moved to the left, right, up and down; what comes in is their edge.
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
