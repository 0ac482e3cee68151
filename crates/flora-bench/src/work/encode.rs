use burn::module::Module;
use burn::tensor::Tensor;
use flora_clip::{Clip, Padding, Precision, Tokens};

use super::{Work, random_images, synchronize, values};
use crate::{BenchError, BenchModel};

/// Pixels to features.
struct Images {
    clip: Clip,
    pixels: Tensor<4>,
}

/// Token ids to features.
struct Texts {
    clip: Clip,
    tokens: Tokens,
}

impl Work for Images {
    fn run(&mut self) -> Result<(), BenchError> {
        let features = self.clip.image_features(self.pixels.clone());
        synchronize(&features.device())
    }

    fn outcome(&mut self) -> Result<Option<Vec<f32>>, BenchError> {
        values(self.clip.image_features(self.pixels.clone()))
    }
}

impl Work for Texts {
    fn run(&mut self) -> Result<(), BenchError> {
        let features = self.clip.text_features(&self.tokens);
        synchronize(&features.device())
    }

    fn outcome(&mut self) -> Result<Option<Vec<f32>>, BenchError> {
        values(self.clip.text_features(&self.tokens))
    }
}

pub(super) fn images(
    model: &BenchModel,
    precision: Precision,
    batch: usize,
    batches: usize,
) -> Result<Vec<Box<dyn Work>>, BenchError> {
    let clip = model.clip.valid().in_precision(precision)?;
    let pixels = random_images(model, batch);
    let work =
        |_| -> Box<dyn Work> { Box::new(Images { clip: clip.clone(), pixels: pixels.clone() }) };
    Ok((0..batches).map(work).collect())
}

pub(super) fn texts(
    model: &BenchModel,
    texts: &[Vec<u32>],
    batches: usize,
) -> Result<Vec<Box<dyn Work>>, BenchError> {
    let clip = model.clip.valid();
    let tokens = Tokens::new(texts, Padding::Longest, &model.config.text_config)?;
    let work =
        |_| -> Box<dyn Work> { Box::new(Texts { clip: clip.clone(), tokens: tokens.clone() }) };
    Ok((0..batches).map(work).collect())
}
