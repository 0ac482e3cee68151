//! An initialisation with which contrastive training makes progress at once.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::{Clip, LayerNorm};

use crate::batches::PairBatch;
use crate::sharded::{Setting, towers};

/// Shifts the towers' outputs so that their mean over `batch` is zero.
///
/// The features of an untrained model all have the same direction, so that their similarities hardly differ. The loss
/// then hardly falls until the common part is unlearned, which takes a thousand steps. It is removed here through the
/// biases of the last norms, an initialisation by the data as in [arXiv 1602.07868](https://arxiv.org/abs/1602.07868),
/// section 3.
pub(crate) fn center(clip: Clip, setting: &Setting, batch: &PairBatch, device: &Device) -> Clip {
    let (images, texts) = towers(&clip.valid(), setting, batch, &device.clone().inner());
    let mut clip = clip;
    move_by(&mut clip.vision_model.post_layernorm, images);
    move_by(&mut clip.text_model.final_layer_norm, texts);
    clip
}

fn move_by(norm: &mut LayerNorm, outputs: Tensor<2>) {
    let mean = outputs.clone().mean_dim(0);
    let spread = (outputs - mean.clone()).abs().max().into_scalar::<f32>();
    if spread <= f32::EPSILON {
        // All the same: without the common part nothing would be left to normalise.
        return;
    }
    let mean = mean.squeeze_dim::<1>(0);
    norm.beta = norm.beta.clone().map(|beta: Tensor<1>| {
        let moved = beta.clone().inner() - mean;
        Tensor::from_inner(moved).set_require_grad(beta.is_require_grad())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Precision;
    use crate::sharded::tests::batch;
    use flora_clip::ClipConfig;

    #[test]
    fn features_of_the_batch_add_up_to_nothing() {
        let config = ClipConfig::clip_nano();
        let side = config.vision_config.image_size;
        let device = Device::flex().autodiff();
        let text = config.text_config.clone();
        let setting = Setting { text, side, shard_size: 4, precision: Precision::F32 };
        let batch = batch(side, None);
        let clip = center(Clip::random(&config, 1, &device), &setting, &batch, &device);
        let (images, texts) = towers(&clip.valid(), &setting, &batch, &Device::flex());
        for outputs in [images, texts] {
            let size = outputs.clone().abs().mean().into_scalar::<f32>();
            let mean = outputs.mean_dim(0).abs().max().into_scalar::<f32>();
            assert!(size > 0.01 && mean < 1e-5, "{size} {mean}");
        }
        assert!(clip.vision_model.post_layernorm.beta.is_require_grad());
    }
}
