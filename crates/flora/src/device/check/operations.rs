//! The operations of a device check: those of a CLIP, in sizes that are not multiples of a kernel's tiles, and a
//! training step.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use flora_clip::{Clip, ClipConfig, Padding, TextConfig, Tokens, VisionConfig, loss};
use flora_kernels::{attention, layer_norm, linear, quick_gelu};

pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Relative to the largest absolute value.
    pub(super) tolerance: f32,
    /// The results on a device.
    pub(super) compute: fn(&Device) -> Vec<Vec<f32>>,
}

/// The tolerance for copied values: none.
const EXACT: f32 = 0.0;
/// The tolerance without sums of products: other roundings of exp, rsqrt and division stay below 1e-6.
const ELEMENTWISE: f32 = 1e-4;
/// The tolerance for sums of products: `f32` stays below 1e-5, and factors that tensor cores round to 10 bits (TF32)
/// below 2e-3. A wrong kernel is off by about 1.
const PRODUCTS: f32 = 5e-3;
/// The tolerance after several layers, or forward and backward.
const DEEP: f32 = 1e-2;

pub(super) const OPERATIONS: [Operation; 8] = [
    Operation { name: "copy", tolerance: EXACT, compute: copy },
    Operation { name: "matmul", tolerance: PRODUCTS, compute: matmul },
    Operation { name: "softmax", tolerance: ELEMENTWISE, compute: softmax },
    Operation { name: "layer norm", tolerance: ELEMENTWISE, compute: norm },
    Operation { name: "activation", tolerance: ELEMENTWISE, compute: gelu },
    Operation { name: "attention", tolerance: PRODUCTS, compute: heads },
    Operation { name: "CLIP", tolerance: DEEP, compute: clip },
    Operation { name: "training step", tolerance: DEEP, compute: training_step },
];

/// Irregular numbers from -1 to 1, which depend on `salt`, and are the same on every device.
fn numbers<const D: usize>(salt: u64, dims: [usize; D], device: &Device) -> Tensor<D> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| {
            // Xorshift: Marsaglia, Journal of Statistical Software 8 (14), 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")
}

/// Rows that are selected, sliced, transposed and concatenated.
fn copy(device: &Device) -> Vec<Vec<f32>> {
    let table = numbers::<2>(1, [37, 50], device);
    let rows = Tensor::<1, Int>::from_data([36, 0, 7, 7, 19], device);
    let picked = table.clone().select(0, rows);
    let cut = table.clone().slice([3..20, 1..50]).swap_dims(0, 1);
    let joined = Tensor::cat(vec![table.clone().narrow(0, 0, 3), table.narrow(0, 30, 7)], 0);
    vec![values(picked), values(cut), values(joined)]
}

fn matmul(device: &Device) -> Vec<Vec<f32>> {
    let square = numbers::<2>(2, [256, 256], device).matmul(numbers(3, [256, 256], device));
    let batch = numbers::<3>(4, [3, 77, 193], device);
    let weight = numbers::<2>(5, [193, 97], device);
    let turned = batch.clone().swap_dims(1, 2).matmul(batch.clone());
    let onto = numbers(7, [3, 77, 97], device);
    let layer = linear(batch, weight, Some(numbers(6, [97], device)), Some(onto));
    vec![values(square), values(turned), values(layer)]
}

fn softmax(device: &Device) -> Vec<Vec<f32>> {
    let logits = numbers::<3>(8, [2, 50, 77], device).mul_scalar(20.0);
    let logs = activation::log_softmax(logits.clone(), 2);
    vec![values(activation::softmax(logits.clone(), 2)), values(logs), values(logits.sum_dim(1))]
}

fn norm(device: &Device) -> Vec<Vec<f32>> {
    let x = numbers::<3>(9, [2, 50, 192], device).mul_scalar(3.0).add_scalar(1.0);
    let (gamma, beta) = (numbers(10, [192], device), numbers(11, [192], device));
    vec![values(layer_norm(x, gamma, beta, 1e-5))]
}

fn gelu(device: &Device) -> Vec<Vec<f32>> {
    let x = numbers::<2>(12, [50, 199], device).mul_scalar(8.0);
    vec![values(quick_gelu(x.clone())), values(activation::gelu(x))]
}

fn heads(device: &Device) -> Vec<Vec<f32>> {
    let part = |salt| numbers::<3>(salt, [2, 50, 96], device).mul_scalar(2.0);
    let all = attention(part(13), part(14), part(15), 3, false);
    vec![values(all), values(attention(part(13), part(14), part(15), 3, true))]
}

/// A CLIP with one block per tower and random weights.
fn small(device: &Device) -> (Clip, Tokens, Tensor<4>) {
    let text = TextConfig {
        vocab_size: 64,
        hidden_size: 48,
        intermediate_size: 96,
        num_hidden_layers: 1,
        num_attention_heads: 3,
        max_position_embeddings: 12,
        bos_token_id: 62,
        eos_token_id: 63,
        ..TextConfig::default()
    };
    let vision = VisionConfig {
        hidden_size: 48,
        intermediate_size: 96,
        num_hidden_layers: 1,
        num_attention_heads: 3,
        image_size: 32,
        patch_size: 8,
        ..VisionConfig::default()
    };
    let texts = [vec![62, 5, 63], vec![62, 9, 17, 40, 63], vec![62, 1, 2, 3, 4, 63]];
    let tokens = Tokens::new(&texts, Padding::Longest, &text).expect("texts that fit");
    let config = ClipConfig {
        text_config: text,
        vision_config: vision,
        projection_dim: 32,
        ..ClipConfig::default()
    };
    let images = numbers::<4>(16, [3, 3, 32, 32], device);
    (Clip::random(&config, 0, device), tokens, images)
}

fn clip(device: &Device) -> Vec<Vec<f32>> {
    let (clip, tokens, images) = small(device);
    let logits = clip.logits_per_image(images.clone(), &tokens);
    vec![values(clip.image_features(images)), values(clip.text_features(&tokens)), values(logits)]
}

/// Loss, gradients, and Adam's step of every weight of a projection, with an epsilon that separates rounding errors
/// from gradients.
fn training_step(device: &Device) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let (mut clip, tokens, images) = small(&device);
    clip = clip.freeze();
    let trained = |salt, rows, columns| {
        let weight = numbers::<2>(salt, [rows, columns], &device).mul_scalar(0.3).detach();
        Param::from_tensor(weight.require_grad())
    };
    let (down, up) = (trained(17, 32, 4), trained(18, 4, 32));
    let features = clip.image_features(images);
    let adapted = features.clone() + features.matmul(down.val()).matmul(up.val());
    let texts = clip.text_features(&tokens);
    let logits = quick_gelu(adapted).matmul(texts.transpose());
    let loss = loss::contrastive(logits);
    let gradients = loss.backward();
    let mut results = vec![];
    for weight in [down.val(), up.val()] {
        let gradient = weight.grad(&gradients).expect("it is trained");
        let weight = weight.inner();
        let first = gradient.clone().mul_scalar(0.1);
        let second = gradient.clone().square().mul_scalar(0.001).sqrt().add_scalar(0.01);
        results.extend([values(gradient), values(weight - first.div(second).mul_scalar(0.01))]);
    }
    results
}
