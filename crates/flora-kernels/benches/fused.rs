//! Each fused operation beside the composed form, at the shapes of CLIP's ViT-B/32 and a batch of 32.
//!
//! ```sh
//! cargo bench -p flora-kernels                    # or with -- NAME, a part of a bench's name
//! RAYON_NUM_THREADS=1 cargo bench -p flora-kernels
//! ```
//!
//! `forward` is without autodiff, as for frozen towers; `training` is forward and backward, with a gradient for every
//! input. `cargo test --benches` runs each once.

use burn::tensor::{Device, Tensor, TensorData};
use divan::Bencher;
use flora_kernels::memory::Recycler;

/// As in the program.
#[global_allocator]
static MEMORY: Recycler = Recycler::new();

fn main() {
    divan::main();
}

/// Items of a batch.
const BATCH: usize = 32;
const SAMPLES: u32 = 30;
/// The longest time in seconds for the samples of one bench.
const SECONDS: f64 = 2.0;

/// Deterministic numbers in [-3, 3).
fn numbers<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let number = |index: usize| (index * 7919 % 6007) as f32 / 6007.0 * 6.0 - 3.0;
    let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn forward<const N: usize, const D: usize, const E: usize>(
    bencher: Bencher<'_, '_>,
    shapes: [[usize; D]; N],
    operation: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    let device = Device::flex();
    let inputs = shapes.map(|shape| numbers(shape, &device));
    bencher.bench_local(|| operation(inputs.clone()));
}

fn training<const N: usize, const D: usize, const E: usize>(
    bencher: Bencher<'_, '_>,
    shapes: [[usize; D]; N],
    operation: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    let device = Device::flex().autodiff();
    let inputs = shapes.map(|shape| numbers(shape, &device).require_grad());
    bencher.bench_local(|| operation(inputs.clone()).backward());
}

/// The four benches of an operation: `inputs`, `fused` and `composed` are functions of the case.
macro_rules! both_forms {
    ($cases:expr, $case:ty) => {
        #[divan::bench(args = $cases)]
        fn forward_fused(bencher: Bencher<'_, '_>, case: $case) {
            forward(bencher, inputs(case), fused(case));
        }

        #[divan::bench(args = $cases)]
        fn forward_composed(bencher: Bencher<'_, '_>, case: $case) {
            forward(bencher, inputs(case), composed(case));
        }

        #[divan::bench(args = $cases)]
        fn training_fused(bencher: Bencher<'_, '_>, case: $case) {
            training(bencher, inputs(case), fused(case));
        }

        #[divan::bench(args = $cases)]
        fn training_composed(bencher: Bencher<'_, '_>, case: $case) {
            training(bencher, inputs(case), composed(case));
        }
    };
}

#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod quick_gelu {
    use super::*;

    /// Between the two layers of the feed-forward network: images, texts.
    const SHAPES: [[usize; 3]; 2] = [[BATCH, 50, 3072], [BATCH, 77, 2048]];

    fn inputs(shape: [usize; 3]) -> [[usize; 3]; 1] {
        [shape]
    }

    fn fused(_: [usize; 3]) -> impl Fn([Tensor<3>; 1]) -> Tensor<3> {
        |[x]| flora_kernels::quick_gelu(x)
    }

    fn composed(_: [usize; 3]) -> impl Fn([Tensor<3>; 1]) -> Tensor<3> {
        |[x]| flora_kernels::composed::quick_gelu(x)
    }

    both_forms!(SHAPES, [usize; 3]);
}

#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod layer_norm {
    use super::*;

    /// The residual stream: images, texts.
    const SHAPES: [[usize; 3]; 2] = [[BATCH, 50, 768], [BATCH, 77, 512]];
    const EPSILON: f64 = 1e-5;

    /// The shapes of x, gamma and beta.
    fn inputs([batch, length, width]: [usize; 3]) -> [[usize; 3]; 3] {
        [[batch, length, width], [1, 1, width], [1, 1, width]]
    }

    fn fused(_: [usize; 3]) -> impl Fn([Tensor<3>; 3]) -> Tensor<3> {
        |[x, gamma, beta]| {
            flora_kernels::layer_norm(x, gamma.flatten(0, 2), beta.flatten(0, 2), EPSILON)
        }
    }

    fn composed(_: [usize; 3]) -> impl Fn([Tensor<3>; 3]) -> Tensor<3> {
        |[x, gamma, beta]| {
            flora_kernels::composed::layer_norm(x, gamma.flatten(0, 2), beta.flatten(0, 2), EPSILON)
        }
    }

    both_forms!(SHAPES, [usize; 3]);
}

#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod attention {
    use super::*;

    const HEADS: usize = 12;
    const HEAD_WIDTH: usize = 64;
    /// The tokens of an image of 224 pixels in patches of 32, and those of a text; `true` is causal, as for texts.
    const CASES: [(usize, bool); 4] = [(50, false), (50, true), (77, false), (77, true)];

    /// The shapes of q, k and v.
    fn inputs((length, _): (usize, bool)) -> [[usize; 3]; 3] {
        [[BATCH, length, HEADS * HEAD_WIDTH]; 3]
    }

    fn fused((_, is_causal): (usize, bool)) -> impl Fn([Tensor<3>; 3]) -> Tensor<3> {
        move |[q, k, v]| flora_kernels::attention(q, k, v, HEADS, is_causal)
    }

    fn composed((_, is_causal): (usize, bool)) -> impl Fn([Tensor<3>; 3]) -> Tensor<3> {
        move |[q, k, v]| flora_kernels::composed::attention(q, k, v, HEADS, is_causal)
    }

    both_forms!(CASES, (usize, bool));
}

/// The second feed-forward layer and the residual stream that it is added to.
#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod linear {
    use super::*;

    /// Batch, length and width: images, texts.
    const SHAPES: [[usize; 3]; 2] = [[BATCH, 50, 768], [BATCH, 77, 512]];

    /// The shapes of x, weight, bias and onto.
    fn inputs([batch, length, width]: [usize; 3]) -> [[usize; 3]; 4] {
        let wide = 4 * width;
        [[batch, length, wide], [1, wide, width], [1, 1, width], [batch, length, width]]
    }

    fn fused(_: [usize; 3]) -> impl Fn([Tensor<3>; 4]) -> Tensor<3> {
        |[x, weight, bias, onto]| {
            flora_kernels::linear(x, weight.squeeze_dim(0), Some(bias.flatten(0, 2)), Some(onto))
        }
    }

    fn composed(_: [usize; 3]) -> impl Fn([Tensor<3>; 4]) -> Tensor<3> {
        |[x, weight, bias, onto]| {
            let (weight, bias) = (weight.squeeze_dim(0), bias.flatten(0, 2));
            flora_kernels::composed::linear(x, weight, Some(bias), Some(onto))
        }
    }

    both_forms!(SHAPES, [usize; 3]);
}

/// A frozen layer of the vision tower, without gradients: attention's projections and both feed-forward layers.
#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod frozen_linear {
    use super::*;
    use flora_kernels::{Half, HalfWeight};

    /// Input and output width.
    const LAYERS: [[usize; 2]; 3] = [[768, 768], [768, 3072], [3072, 768]];

    fn inputs([input, output]: [usize; 2]) -> (Tensor<3>, Tensor<2>, Tensor<1>, Tensor<3>) {
        let device = Device::flex();
        let onto = numbers([BATCH, 50, output], &device);
        let (weight, bias) = (numbers([input, output], &device), numbers([output], &device));
        (numbers([BATCH, 50, input], &device), weight, bias, onto)
    }

    #[divan::bench(args = LAYERS)]
    fn f32(bencher: Bencher<'_, '_>, layer: [usize; 2]) {
        let (x, weight, bias, onto) = inputs(layer);
        bencher.bench_local(|| {
            let (bias, onto) = (Some(bias.clone()), Some(onto.clone()));
            flora_kernels::linear(x.clone(), weight.clone(), bias, onto)
        });
    }

    /// Without AVX512-BF16, at best as fast as f32.
    #[divan::bench(args = LAYERS)]
    fn bf16(bencher: Bencher<'_, '_>, layer: [usize; 2]) {
        let (x, weight, bias, onto) = inputs(layer);
        let weight = HalfWeight::new(&weight, Half::Bf16).expect("on flex");
        if weight.is_emulated() {
            eprintln!("this processor has no AVX512-BF16");
        }
        bencher.bench_local(|| weight.linear(&x, Some(&bias), Some(&onto)).expect("on flex"));
    }
}

/// A step of a feed-forward layer's weight.
#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod adam {
    use super::*;
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::{AdamConfig, Optimizer};

    fn steps(bencher: Bencher<'_, '_>, optimizer: impl Optimizer) {
        let device = Device::flex();
        let gradient = numbers([768, 3072], &device);
        let (mut weight, mut state) = (gradient.clone(), None);
        bencher.bench_local(move || {
            let old = (weight.clone(), state.take());
            (weight, state) = optimizer.step(1e-3, old.0, gradient.clone(), old.1);
        });
    }

    #[divan::bench]
    fn fused(bencher: Bencher<'_, '_>) {
        steps(bencher, flora_kernels::Adam::new([0.9, 0.98], 1e-6, 0.2));
    }

    #[divan::bench]
    fn composed(bencher: Bencher<'_, '_>) {
        let config = AdamConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.2)));
        steps(bencher, config.build());
    }
}

/// The reason why there is no fused patch embedding: rearranging the pixels of the patches takes only a small part of
/// the time.
#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod patch_embedding {
    use super::*;

    const CHANNELS: usize = 3;
    const IMAGES: [usize; 4] = [BATCH, CHANNELS, 224, 224];
    const WIDTH: usize = 768;

    /// `[batch * patches, channels * patch * patch]`
    fn patches(images: Tensor<4>, patch: usize) -> Tensor<2> {
        let [batch, channels, size, _] = images.dims();
        let grid = size / patch;
        images
            .reshape([batch, channels, grid, patch, grid, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch * grid * grid, channels * patch * patch])
    }

    #[divan::bench(args = [32, 16])]
    fn copy(bencher: Bencher<'_, '_>, patch: usize) {
        forward(bencher, [IMAGES], |[images]| patches(images, patch));
    }

    #[divan::bench(args = [32, 16])]
    fn copy_and_product(bencher: Bencher<'_, '_>, patch: usize) {
        let kernel = numbers([WIDTH, CHANNELS * patch * patch], &Device::flex()).transpose();
        forward(bencher, [IMAGES], |[images]| patches(images, patch).matmul(kernel.clone()));
    }
}

/// Frozen layers of the text tower in a step of a client with ten classes, whose prompts have about eight positions
/// each beyond the common beginning: twelve blocks, so that weights come from memory, and the gradients of their
/// inputs.
#[divan::bench_group(sample_count = SAMPLES, max_time = SECONDS)]
mod few_rows {
    use super::*;

    const BLOCKS: usize = 12;
    /// Input and output width.
    const LAYERS: [[usize; 2]; 3] = [[512, 512], [512, 2048], [2048, 512]];

    #[divan::bench(args = LAYERS)]
    fn training(bencher: Bencher<'_, '_>, [input, output]: [usize; 2]) {
        let device = Device::flex().autodiff();
        let weights: Vec<Tensor<2>> =
            (0..BLOCKS).map(|_| numbers([input, output], &device)).collect();
        let x: Tensor<2> = numbers([80, input], &device);
        let x = x.require_grad();
        bencher.bench_local(|| {
            for weight in &weights {
                flora_kernels::linear(x.clone(), weight.clone(), None, None).backward();
            }
        });
    }
}
