//! The contrastive step with the batch split into shards, distributed over threads.
//!
//! The loss couples all pairs, but only through their features. So the features of each shard are computed separately
//! and its graph is kept; the loss and its gradient with respect to the features are computed once, over all shards;
//! and each graph is run backward from its part of that gradient (the scheme of GradCache, [arXiv
//! 2101.06983](https://arxiv.org/abs/2101.06983), without its second forward pass). The gradients are those of the
//! whole batch.
//!
//! Pictures and captions are split separately: a caption of several pictures goes through the text tower once, and
//! captions of about the same length are grouped, to reduce padding.

use std::ops::Range;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flora_clip::{Clip, Padding, TextConfig, Tokens, loss, normalize};
use flora_core::workers::Workers;

use crate::batches::PairBatch;
use crate::precision::Precision;

/// The context of a step besides weights and pairs.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) text: TextConfig,
    /// The side of the pictures, in pixels.
    pub(crate) side: usize,
    /// Pictures per shard; of captions, which are shorter, twice as many.
    pub(crate) shard_size: usize,
    pub(crate) precision: Precision,
}

/// Loss and gradients of a step.
pub(crate) struct Step {
    pub(crate) loss: Tensor<1>,
    pub(crate) gradients: GradientsParams,
}

/// A part of the batch that goes through a tower together.
enum Part {
    /// A range of the batch's pictures.
    Images(Range<usize>),
    /// A range of its distinct captions.
    Texts(Range<usize>),
}

/// Unnormalised features of a part, with their graph.
struct Shard {
    model: Clip,
    features: Tensor<2>,
}

/// Forward, loss and backward over `batch`. `device` is the one with autodiff.
pub(crate) fn step(
    model: &Clip,
    setting: &Setting,
    batch: &PairBatch,
    workers: &Workers,
    device: &Device,
) -> Step {
    let image_parts = ranges(batch.text_of.len(), setting.shard_size);
    let text_parts = ranges(batch.texts.len(), setting.shard_size.saturating_mul(2));
    let images = image_parts.len();
    let parts = || {
        let images = image_parts.iter().cloned().map(Part::Images);
        images.chain(text_parts.iter().cloned().map(Part::Texts)).collect::<Vec<_>>()
    };

    let run = |part| {
        // Separate leaves: threads that share leaves take turns on one graph.
        let model = setting.precision.fork(model, device);
        let features = features(&model, setting, batch, &part, device);
        Shard { model, features }
    };
    let shards = workers.map(parts(), run, |_, _| ());

    let leaf = |shards: &[Shard]| {
        let features =
            shards.iter().map(|shard| Tensor::from_inner(shard.features.clone().inner()));
        Tensor::cat(features.collect(), 0).require_grad()
    };
    let (image_features, text_features) = (leaf(&shards[..images]), leaf(&shards[images..]));
    let texts = text_features.clone().select(0, batch.text_of(device));
    let logits = similarities(model, image_features.clone(), texts);
    let loss = loss::multi_positive_contrastive(logits, &batch.text_of);
    let mut gradients = loss.clone().backward();
    let image_gradient =
        image_features.grad_remove(&mut gradients).expect("the loss depends on it");
    let text_gradient = text_features.grad_remove(&mut gradients).expect("the loss depends on it");
    let mut sum = GradientsAccumulator::new();
    // The rest is the gradient of the temperature.
    sum.accumulate(model, GradientsParams::from_grads(gradients, model));

    let back = |(shard, part): (Shard, Part)| {
        let gradient = match part {
            Part::Images(range) => image_gradient.clone().slice([range]),
            Part::Texts(range) => text_gradient.clone().slice([range]),
        };
        // d(surrogate)/d(features) is the gradient of the whole batch's loss.
        let surrogate = (shard.features * Tensor::from_inner(gradient)).sum();
        setting.precision.gradients(surrogate, &shard.model)
    };
    let work: Vec<_> = shards.into_iter().zip(parts()).collect();
    // In the order of the shards, so that the same seed gives the same bits.
    for part in workers.map(work, back, |_, _| ()) {
        sum.accumulate(model, part);
    }
    Step { loss: loss.inner(), gradients: sum.grads() }
}

/// Similarities of every picture and every pair's caption, without gradients.
pub(crate) fn evaluate(
    model: &Clip,
    setting: &Setting,
    batch: &PairBatch,
    device: &Device,
) -> Tensor<2> {
    let features = |part| features(model, setting, batch, &part, device);
    let texts = features(Part::Texts(0..batch.texts.len())).select(0, batch.text_of(device));
    similarities(model, features(Part::Images(0..batch.text_of.len())), texts)
}

/// The towers' outputs for a batch before the projections, without gradients.
pub(crate) fn towers(
    model: &Clip,
    setting: &Setting,
    batch: &PairBatch,
    device: &Device,
) -> (Tensor<2>, Tensor<2>) {
    let pixels = pixels(setting, batch, 0..batch.text_of.len(), device);
    let tokens = tokens(setting, batch, 0..batch.texts.len());
    (model.vision_model.forward(pixels), model.text_model.forward(&tokens))
}

fn ranges(count: usize, size: usize) -> Vec<Range<usize>> {
    (0..count).step_by(size).map(|start| start..start.saturating_add(size).min(count)).collect()
}

/// Unnormalised features of a part of a batch, as `f32`.
fn features(
    model: &Clip,
    setting: &Setting,
    batch: &PairBatch,
    part: &Part,
    device: &Device,
) -> Tensor<2> {
    let features = match part {
        Part::Images(range) => {
            let pixels = pixels(setting, batch, range.clone(), device);
            let pixels = setting.precision.lower(pixels, model);
            match &batch.kept {
                None => model.image_features(pixels),
                Some(kept) => model.image_features_of_patches(pixels, &kept[range.clone()]),
            }
        }
        Part::Texts(range) => model.text_features(&tokens(setting, batch, range.clone())),
    };
    setting.precision.raise(features)
}

fn pixels(setting: &Setting, batch: &PairBatch, range: Range<usize>, device: &Device) -> Tensor<4> {
    let side = setting.side;
    let picture = 3 * side * side;
    let pixels = batch.pixels[range.start * picture..range.end * picture].to_vec();
    Tensor::from_data(TensorData::new(pixels, [range.len(), 3, side, side]), device)
}

fn tokens(setting: &Setting, batch: &PairBatch, range: Range<usize>) -> Tokens {
    Tokens::new(&batch.texts[range], Padding::Longest, &setting.text)
        .expect("the captions were tokenised for this model")
}

/// Scaled cosine similarities; the factor is capped at 100 as in CLIP's own training.
fn similarities(model: &Clip, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
    let factor = model.logit_scale.val().clamp_max(100f32.ln()).exp();
    normalize(images).matmul(normalize(texts).transpose()) * factor.reshape([1, 1])
}

impl PairBatch {
    fn text_of(&self, device: &Device) -> Tensor<1, Int> {
        let places: Vec<i32> = self.text_of.iter().map(|&place| place as i32).collect();
        let count = places.len();
        Tensor::from_data(TensorData::new(places, [count]), device)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::module::{Module, ModuleVisitor, Param};
    use flora_clip::ClipConfig;

    /// Every gradient, in the order of the module's parameters.
    fn gradients(model: &Clip, gradients: GradientsParams) -> Vec<Vec<f32>> {
        struct Collect(GradientsParams, Vec<Vec<f32>>);
        impl ModuleVisitor for Collect {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = self.0.get::<D>(param.id).expect("every parameter is trained");
                self.1.push(gradient.into_data().try_into_vec::<f32>().unwrap());
            }
        }
        let mut collect = Collect(gradients, Vec::new());
        model.visit(&mut collect);
        collect.1
    }

    /// Seven pairs, of which the last two repeat the captions of the first two.
    pub(crate) fn batch(side: usize, kept: Option<Vec<Vec<usize>>>) -> PairBatch {
        let pixels = (0..7 * 3 * side * side).map(|i| ((i * 31 % 97) as f32 - 48.0) / 40.0);
        let texts = (0..5).map(|i| {
            let mut text = vec![8190, 300 + i, 400, 8191];
            text.splice(2..2, (0..i).map(|j| 500 + j));
            text
        });
        let text_of = vec![0, 1, 2, 3, 4, 0, 1];
        PairBatch { pixels: pixels.collect(), texts: texts.collect(), kept, text_of }
    }

    #[test]
    fn shards_give_the_gradients_of_the_whole_batch() {
        shards_agree(None);
        shards_agree(Some((0..7).map(|i| vec![i, 8, 15]).collect()));
    }

    /// The loss and its gradients in one piece, a caption for each pair.
    fn plainly(
        model: &Clip,
        config: &ClipConfig,
        batch: &PairBatch,
        device: &Device,
    ) -> (f32, Vec<Vec<f32>>) {
        let side = config.vision_config.image_size;
        let pixels = TensorData::new(batch.pixels.clone(), [7, 3, side, side]);
        let pixels = Tensor::<4>::from_data(pixels, device);
        let images = match &batch.kept {
            None => model.image_features(pixels),
            Some(kept) => model.image_features_of_patches(pixels, kept),
        };
        let texts: Vec<_> = batch.text_of.iter().map(|&text| batch.texts[text].clone()).collect();
        let tokens = Tokens::new(&texts, Padding::Context, &config.text_config).unwrap();
        let logits = similarities(model, images, model.text_features(&tokens));
        let loss = loss::multi_positive_contrastive(logits, &batch.text_of);
        let found = GradientsParams::from_grads(loss.clone().backward(), model);
        (loss.into_scalar::<f32>(), gradients(model, found))
    }

    fn shards_agree(kept: Option<Vec<Vec<usize>>>) {
        let config = ClipConfig::clip_nano();
        let side = config.vision_config.image_size;
        let device = Device::flex().autodiff();
        let model = Clip::random(&config, 1, &device);
        let batch = batch(side, kept);
        let run = |shard_size| {
            let workers = Workers::new(2).unwrap();
            let precision = Precision::F32;
            let setting = Setting { text: config.text_config.clone(), side, shard_size, precision };
            let step = step(&model, &setting, &batch, &workers, &device);
            (step.loss.into_scalar::<f32>(), gradients(&model, step.gradients))
        };
        let (whole_loss, whole) = plainly(&model, &config, &batch, &device);
        let (sharded_loss, sharded) = run(2);
        assert!((whole_loss - sharded_loss).abs() < 1e-5, "{whole_loss} {sharded_loss}");
        for (index, (a, b)) in whole.iter().zip(&sharded).enumerate() {
            let scale = a.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
            for (x, y) in a.iter().zip(b) {
                assert!((x - y).abs() <= 1e-4 * scale, "parameter {index}: {x} against {y}");
            }
        }
        assert!(whole.iter().flatten().any(|&x| x.abs() > 1e-4));
    }

    #[test]
    fn all_patches_kept_are_the_whole_picture() {
        let config = ClipConfig::clip_nano();
        let side = config.vision_config.image_size;
        let device = Device::flex();
        let model = Clip::random(&config, 1, &device);
        let pixels = TensorData::new(batch(side, None).pixels, [7, 3, side, side]);
        let pixels = Tensor::<4>::from_data(pixels, &device);
        let all = vec![(0..16).collect::<Vec<_>>(); 7];
        let some = model.image_features_of_patches(pixels.clone(), &all);
        let difference = (some - model.image_features(pixels)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{difference}");
    }

    /// Rounded to bfloat16 the loss moves a little, and the gradients keep their direction.
    #[test]
    fn bfloat16_is_near_f32() {
        let config = ClipConfig::clip_nano();
        let side = config.vision_config.image_size;
        let device = Device::flex().autodiff();
        let model = Clip::random(&config, 1, &device);
        let batch = batch(side, None);
        let run = |precision| {
            let workers = Workers::new(1).unwrap();
            let setting =
                Setting { text: config.text_config.clone(), side, shard_size: 4, precision };
            let step = step(&model, &setting, &batch, &workers, &device);
            let gradients = gradients(&model, step.gradients);
            (step.loss.into_scalar::<f32>(), gradients.concat())
        };
        let (exact_loss, exact) = run(Precision::F32);
        let (near_loss, near) = run(Precision::Bf16);
        assert!((exact_loss - near_loss).abs() < 0.02 * exact_loss, "{exact_loss} {near_loss}");
        assert_ne!(exact, near);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let cosine = dot(&exact, &near) / (dot(&exact, &exact) * dot(&near, &near)).sqrt();
        assert!(cosine > 0.98, "{cosine}");
    }
}
