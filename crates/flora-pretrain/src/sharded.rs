//! The contrastive step with the batch cut into shards, spread over threads.
//!
//! The loss couples all pairs, but only through their features. So the features of each
//! shard are computed by themselves and its graph is kept; the loss and its gradient with respect to the
//! features are computed once, over all of them; and each graph is run backward from its share
//! of that gradient (the scheme of GradCache, [arXiv 2101.06983](https://arxiv.org/abs/2101.06983),
//! without its second forward pass). The gradients are those of the whole batch.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::{Clip, Padding, TextConfig, Tokens, loss, normalize};
use flora_core::workers::Workers;

use crate::batches::PairBatch;

/// Loss and gradients of a step.
pub(crate) struct Step {
    pub(crate) loss: Tensor<1>,
    pub(crate) gradients: GradientsParams,
}

/// Unnormalised features of a shard with the graph that they came from.
struct Shard {
    model: Clip,
    images: Tensor<2>,
    texts: Tensor<2>,
}

/// Forward, loss and backward over `batch`, in shards of `shard_size` pairs. `device` is the
/// one with autodiff.
pub(crate) fn step(
    model: &Clip,
    config: &TextConfig,
    side: usize,
    batch: &PairBatch,
    shard_size: usize,
    workers: &Workers,
    device: &Device,
) -> Step {
    let count = batch.texts.len();
    let ranges: Vec<_> = (0..count)
        .step_by(shard_size)
        .map(|start| start..(start + shard_size).min(count))
        .collect();

    let run = |range| {
        // Leaves of its own: threads that share leaves take turns on one graph.
        let model = model.clone().fork(device);
        let (images, texts) = forward(&model, config, side, batch, range, device);
        Shard { model, images, texts }
    };
    let shards = workers.map(ranges.clone(), run, |_, _| ());

    let leaf = |features: Vec<Tensor<2>>| Tensor::cat(features, 0).require_grad();
    let plain = |shard: &Shard| (shard.images.clone().inner(), shard.texts.clone().inner());
    let (images, texts): (Vec<_>, Vec<_>) = shards.iter().map(plain).unzip();
    let on_graph = |tensor: Tensor<2>| Tensor::from_inner(tensor);
    let images = leaf(images.into_iter().map(on_graph).collect());
    let texts = leaf(texts.into_iter().map(on_graph).collect());
    let logits = similarities(model, images.clone(), texts.clone());
    let loss = loss::multi_positive_contrastive(logits, &batch.groups);
    let mut gradients = loss.clone().backward();
    let image_gradient = images.grad_remove(&mut gradients).expect("the loss depends on it");
    let text_gradient = texts.grad_remove(&mut gradients).expect("the loss depends on it");
    let mut sum = GradientsAccumulator::new();
    // What is left is the gradient of the temperature.
    sum.accumulate(model, GradientsParams::from_grads(gradients, model));

    let work: Vec<_> = shards.into_iter().zip(ranges).collect();
    let back = |(shard, range): (Shard, std::ops::Range<usize>)| {
        let share =
            |gradient: &Tensor<2>| Tensor::from_inner(gradient.clone().slice([range.clone()]));
        // d(surrogate)/d(features) is the gradient that the whole batch's loss has there.
        let surrogate = (shard.images * share(&image_gradient)).sum()
            + (shard.texts * share(&text_gradient)).sum();
        GradientsParams::from_grads(surrogate.backward(), &shard.model)
    };
    let parts = workers.map(work, back, |_, _| ());
    // In the order of the shards, so that the same seed gives the same bits.
    for part in parts {
        sum.accumulate(model, part);
    }
    Step { loss: loss.inner(), gradients: sum.grads() }
}

/// Unnormalised image and text features of a part of a batch.
pub(crate) fn forward(
    model: &Clip,
    config: &TextConfig,
    side: usize,
    batch: &PairBatch,
    range: std::ops::Range<usize>,
    device: &Device,
) -> (Tensor<2>, Tensor<2>) {
    let picture = 3 * side * side;
    let pixels = batch.pixels[range.start * picture..range.end * picture].to_vec();
    let pixels = TensorData::new(pixels, [range.len(), 3, side, side]);
    let tokens = Tokens::new(&batch.texts[range], Padding::Longest, config)
        .expect("the captions were tokenised for this model");
    (model.image_features(Tensor::from_data(pixels, device)), model.text_features(&tokens))
}

/// Scaled cosine similarities; the factor is capped at 100 as in CLIP's own training.
pub(crate) fn similarities(model: &Clip, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
    let factor = model.logit_scale.val().clamp_max(100f32.ln()).exp();
    normalize(images).matmul(normalize(texts).transpose()) * factor.reshape([1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{ModuleVisitor, Param};
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

    #[test]
    fn shards_give_the_gradients_of_the_whole_batch() {
        let config = ClipConfig::clip_nano();
        let side = config.vision_config.image_size;
        let device = Device::flex().autodiff();
        let model = Clip::random(&config, 1, &device);
        let pixels =
            (0..7 * 3 * side * side).map(|i| ((i * 31 % 97) as f32 - 48.0) / 40.0).collect();
        let texts = (0..7).map(|i| vec![8190, 300 + i % 5, 400, 8191]).collect();
        // Texts 5 and 6 repeat 0 and 1, across shards.
        let groups = vec![0, 1, 2, 3, 4, 0, 1];
        let batch = PairBatch { pixels, texts, groups };
        let run = |shard_size| {
            let workers = Workers::new(2).unwrap();
            let step =
                step(&model, &config.text_config, side, &batch, shard_size, &workers, &device);
            (step.loss.into_scalar::<f32>(), gradients(&model, step.gradients))
        };
        let (whole_loss, whole) = run(7);
        let (sharded_loss, sharded) = run(3);
        assert!((whole_loss - sharded_loss).abs() < 1e-5, "{whole_loss} {sharded_loss}");
        for (index, (a, b)) in whole.iter().zip(&sharded).enumerate() {
            let scale = a.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
            for (x, y) in a.iter().zip(b) {
                assert!((x - y).abs() <= 1e-4 * scale, "parameter {index}: {x} against {y}");
            }
        }
        assert!(whole.iter().flatten().any(|&x| x.abs() > 1e-4));
    }
}
