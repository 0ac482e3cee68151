//! The fused operations against burn's own, forward and backward.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use flora_kernels::{
    Adam, Half, HalfWeight, attention, composed, layer_norm, linear, patches, quick_gelu,
};

/// Deterministic numbers in [-3, 3), the same everywhere.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let count = shape.iter().product();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 6.0 - 3.0
    };
    let values: Vec<f32> = (0..count).map(|_| next()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn assert_close<const D: usize>(fused: Tensor<D>, composed: Tensor<D>, what: &str) {
    assert_eq!(fused.dims(), composed.dims(), "{what}");
    let size = composed.clone().abs().max().into_scalar::<f32>().max(1.0);
    let difference = (fused - composed).abs().max().into_scalar::<f32>();
    assert!(difference <= 3e-6 * size, "{what}: off by {difference:e} of {size}");
}

/// Outputs, and gradients of a weighted sum of the outputs, of both forms.
fn compare<const N: usize, const D: usize>(
    inputs: [Tensor<D>; N],
    fused: impl Fn([Tensor<D>; N]) -> Tensor<D>,
    composed: impl Fn([Tensor<D>; N]) -> Tensor<D>,
) {
    let plain = inputs.clone().map(|input| input.inner());
    assert_close(fused(plain.clone()), composed(plain), "output without gradients");
    let run = |form: &dyn Fn([Tensor<D>; N]) -> Tensor<D>| {
        let leaves = inputs.clone().map(|input| input.require_grad());
        let output = form(leaves.clone());
        let weights = numbers(output.dims(), 9, &output.device());
        let gradients = (output.clone() * weights).sum().backward();
        (output.inner(), leaves.map(|leaf| leaf.grad(&gradients).expect("every input counts")))
    };
    let (one, one_gradients) = run(&fused);
    let (other, other_gradients) = run(&composed);
    assert_close(one, other, "output");
    for (index, (one, other)) in one_gradients.into_iter().zip(other_gradients).enumerate() {
        assert_close(one, other, &format!("gradient of input {index}"));
    }
}

#[test]
fn quick_gelu_and_its_gradient() {
    let device = Device::flex().autodiff();
    for shape in [[1, 1, 1], [2, 3, 5], [5, 70, 129]] {
        let x = numbers(shape, 1, &device).mul_scalar(8.0);
        compare([x], |[x]| quick_gelu(x), |[x]| composed::quick_gelu(x));
    }
}

#[test]
fn layer_norm_and_its_gradients() {
    let device = Device::flex().autodiff();
    for shape in [[1, 1, 7], [3, 5, 16], [4, 70, 192]] {
        let width = shape[2];
        let x = numbers(shape, 2, &device);
        let vector = |seed| numbers([1, 1, width], seed, &device);
        compare(
            [x, vector(3), vector(4)],
            |[x, gamma, beta]| layer_norm(x, gamma.reshape([width]), beta.reshape([width]), 1e-5),
            |[x, gamma, beta]| {
                composed::layer_norm(x, gamma.reshape([width]), beta.reshape([width]), 1e-5)
            },
        );
    }
}

#[test]
fn attention_and_its_gradients() {
    let device = Device::flex().autodiff();
    for (shape, heads) in [([1, 1, 4], 1), ([2, 5, 6], 3), ([3, 17, 192], 3), ([1, 129, 32], 2)] {
        for is_causal in [false, true] {
            compare(
                [5, 6, 7].map(|seed| numbers(shape, seed, &device)),
                |[q, k, v]| attention(q, k, v, heads, is_causal),
                |[q, k, v]| composed::attention(q, k, v, heads, is_causal),
            );
        }
    }
}

/// Frozen inputs get no gradient and do not disturb others.
#[test]
fn only_tracked_inputs_get_gradients() {
    let device = Device::flex().autodiff();
    let x = numbers([2, 3, 8], 1, &device).require_grad();
    let (gamma, beta) = (numbers([8], 2, &device), numbers([8], 3, &device));
    let k = numbers([2, 3, 8], 4, &device);
    let normed = layer_norm(x.clone(), gamma.clone(), beta, 1e-5);
    let y = attention(normed, k.clone(), k.clone(), 2, true);
    let gradients = quick_gelu(y).sum().backward();
    assert!(x.grad(&gradients).is_some());
    assert!(gamma.grad(&gradients).is_none() && k.grad(&gradients).is_none());
}

/// A view with gaps is read correctly.
#[test]
fn views_are_read_in_their_own_order() {
    let device = Device::flex();
    let x = numbers([4, 6, 10], 1, &device);
    let view = x.swap_dims(0, 1).slice([1..4, 0..4, 2..8]);
    let copy = Tensor::from_data(view.to_data(), &device);
    assert_close(quick_gelu(view.clone()), quick_gelu(copy.clone()), "quick_gelu");
    let fused = |x: Tensor<3>| attention(x.clone(), x.clone(), x, 2, false);
    assert_close(fused(view.clone()), fused(copy.clone()), "attention");
    let norm = |x: Tensor<3>| {
        let vector = |seed| numbers([12], seed, &device).slice(0..6);
        layer_norm(x, vector(2), vector(3), 1e-5)
    };
    assert_close(norm(view), norm(copy), "layer_norm");
}

#[test]
fn threads_change_nothing() {
    let device = Device::flex().autodiff();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = numbers([40, 20, 96], 1, &device).require_grad();
            let vector = |seed| numbers([96], seed, &device).require_grad();
            let (gamma, beta) = (vector(2), vector(3));
            let y = layer_norm(x.clone(), gamma.clone(), beta, 1e-5);
            // Large enough for several threads.
            let y = linear(y.clone(), numbers([96, 96], 4, &device), None, Some(y));
            let gradients =
                quick_gelu(attention(y.clone(), y.clone(), y, 3, true)).sum().backward();
            let bits = |data: TensorData| data.try_into_vec::<f32>().unwrap();
            (
                bits(x.grad(&gradients).unwrap().into_data()),
                bits(gamma.grad(&gradients).unwrap().into_data()),
            )
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn linear_and_its_gradients() {
    let device = Device::flex().autodiff();
    for (rows, input, output) in [(1, 1, 1), (3, 5, 7), (130, 33, 48), (300, 192, 200)] {
        let x = numbers([1, rows, input], 11, &device);
        let weight = numbers([1, input, output], 12, &device);
        let bias = numbers([1, 1, output], 13, &device);
        let onto = numbers([1, rows, output], 14, &device);
        let matrix = |weight: Tensor<3>| weight.reshape([input, output]);
        let vector = |bias: Tensor<3>| bias.reshape([output]);
        compare(
            [x.clone(), weight.clone(), bias.clone(), onto.clone()],
            |[x, w, b, onto]| linear(x, matrix(w), Some(vector(b)), Some(onto)),
            |[x, w, b, onto]| composed::linear(x, matrix(w), Some(vector(b)), Some(onto)),
        );
        compare(
            [x.clone(), weight.clone(), bias],
            |[x, w, b]| linear(x, matrix(w), Some(vector(b)), None),
            |[x, w, b]| composed::linear(x, matrix(w), Some(vector(b)), None),
        );
        compare(
            [x.clone(), weight.clone(), onto],
            |[x, w, onto]| linear(x, matrix(w), None, Some(onto)),
            |[x, w, onto]| composed::linear(x, matrix(w), None, Some(onto)),
        );
        // A transposed weight, as in checkpoints.
        let turned = weight.swap_dims(1, 2).reshape([1, output, input]);
        let matrix = |weight: Tensor<3>| weight.reshape([output, input]).transpose();
        compare(
            [x, turned],
            |[x, w]| linear(x, matrix(w), None, None),
            |[x, w]| composed::linear(x, matrix(w), None, None),
        );
    }
}

#[test]
fn a_linear_layer_takes_constants_and_the_same_tensor_twice() {
    let device = Device::flex().autodiff();
    let x = numbers([2, 9, 16], 15, &device);
    let weight = Tensor::<2>::from_inner(numbers([16, 16], 16, &device).inner());
    let bias = Tensor::<1>::from_inner(numbers([16], 17, &device).inner());
    // A residual connection around frozen weights.
    compare(
        [x],
        |[x]| linear(x.clone(), weight.clone(), Some(bias.clone()), Some(x)),
        |[x]| composed::linear(x.clone(), weight.clone(), Some(bias.clone()), Some(x)),
    );
}

#[test]
fn patches_are_those_of_the_permutation() {
    let device = Device::flex();
    for ([height, width], size) in [([8, 12], 4), ([11, 9], 3), ([7, 7], 2), ([3, 2], 1)] {
        let images = numbers([3, 2, height, width], 19, &device);
        let want = composed::patches(images.clone(), size);
        let got = patches(images.clone(), size);
        assert_eq!(got.into_data(), want.clone().into_data(), "{height} x {width} by {size}");
        // A view, and images with gradients.
        let turned = images.clone().swap_dims(2, 3).reshape([3, 2, width, height]).swap_dims(2, 3);
        assert_eq!(patches(turned, size).into_data(), want.clone().into_data());
        let tracked = Tensor::<4>::from_inner(images).require_grad();
        assert_eq!(patches(tracked.clone(), size).into_data(), want.into_data());
        let gradients = patches(tracked.clone(), size).sum().backward();
        assert!(tracked.grad(&gradients).is_some());
    }
}

#[test]
fn adam_steps_as_burn_does_bit_for_bit() {
    let device = Device::flex();
    for penalty in [0.0, 0.2] {
        let decay = (penalty > 0.0).then(|| WeightDecayConfig::new(penalty));
        let config = AdamConfig::new().with_beta_1(0.8).with_beta_2(0.95).with_epsilon(1e-6);
        let composed = config.with_weight_decay(decay).build();
        let fused = Adam::new([0.8, 0.95], 1e-6, penalty);
        let start = numbers([37, 900], 20, &device);
        let (mut one, mut other) = ((start.clone(), None), (start, None));
        for step in 0..4 {
            let gradient = numbers([37, 900], 21 + step, &device).mul_scalar(0.01);
            one = fused.step(0.003, one.0, gradient.clone(), one.1);
            other = composed.step(0.003, other.0, gradient, other.1);
            let state = |state: &Option<burn::optim::AdamState<2>>| {
                let momentum = &state.as_ref().expect("a state").momentum;
                let moments = [momentum.moment_1.clone(), momentum.moment_2.clone()];
                (momentum.time, moments.map(|moment| moment.into_data()))
            };
            assert_eq!(one.0.to_data(), other.0.to_data(), "parameters after step {step}");
            assert_eq!(state(&one.1), state(&other.1), "moments after step {step}");
        }
    }
}

#[test]
fn a_weight_in_16_bits_is_near_the_one_in_f32() {
    let device = Device::flex();
    let shapes = [[1, 1, 3], [2, 9, 64], [3, 50, 97]];
    let halves = [(Half::Bf16, 1.0 / 256.0), (Half::F16, 1.0 / 2048.0)];
    for (shape, (half, unit)) in shapes.into_iter().flat_map(|it| halves.map(|half| (it, half))) {
        let [batch, length, input] = shape;
        let output = 70;
        let x = numbers(shape, 11, &device);
        // As stored after a transposition.
        let weight = numbers([output, input], 12, &device).transpose();
        let bias = numbers([output], 13, &device);
        let onto = numbers([batch, length, output], 14, &device);
        let packed = HalfWeight::new(&weight, half).expect("on flex");
        let got = packed.linear(&x, Some(&bias), Some(&onto)).expect("on flex");
        let want = linear(x.clone(), weight, Some(bias), Some(onto));
        assert_eq!(got.dims(), want.dims());
        // Two roundings of half a unit of numbers below 3, in sums of `input` products.
        let bound = 2.0 * unit * 9.0 * input as f32;
        let off = (got - want.clone()).abs().max().into_scalar::<f32>();
        assert!(off > 0.0 && off < bound, "{shape:?}, {half:?}: off by {off}, at most {bound}");
    }
}

#[test]
fn a_feed_forward_network_in_16_bits_has_the_bits_of_its_operations() {
    let device = Device::flex();
    let [first, second] = [[40, 96], [96, 33]].map(|shape| numbers::<2>(shape, 15, &device));
    let [bias, next_bias] = [96, 33].map(|width| numbers::<1>([width], 16, &device));
    let [x, onto] = [40, 33].map(|width| numbers::<3>([9, 25, width], 17, &device));
    for half in [Half::Bf16, Half::F16] {
        let [first, second] =
            [&first, &second].map(|weight| HalfWeight::new(weight, half).expect("on flex"));
        let got = first.feed_forward(&second, &x, [Some(&bias), Some(&next_bias)], Some(&onto));
        let wide = first.linear(&x, Some(&bias), None).expect("on flex");
        let want = second.linear(&quick_gelu(wide), Some(&next_bias), Some(&onto));
        assert_eq!(got.map(Tensor::into_data), want.map(Tensor::into_data), "{half:?}");
        let got = first.feed_forward(&second, &x, [None, None], None).expect("on flex");
        assert_eq!(got.dims(), [9, 25, 33]);
        let tracked = numbers::<2>([2, 40], 18, &device.clone().autodiff());
        assert!(first.feed_forward(&second, &tracked, [None, None], None).is_none());
    }
}

#[test]
fn sixteen_bits_are_for_plain_f32_tensors() {
    let (device, half) = (Device::flex(), Half::Bf16);
    let weight = numbers::<2>([4, 3], 15, &device);
    let packed = HalfWeight::new(&weight, half).expect("on flex");
    let x = numbers([2, 4], 16, &device);
    assert_eq!(packed.linear(&x, None, None).expect("plain").dims(), [2, 3]);
    assert!(packed.linear(&numbers([2, 4], 16, &device.clone().autodiff()), None, None).is_none());
    assert!(HalfWeight::new(&weight.cast(burn::tensor::DType::F16), half).is_none());
    assert!(HalfWeight::new(&Tensor::empty([0, 3], &device), half).is_none());
}
