//! Fused CLIP kernels for burn's CPU backend, Adam's step, and an allocator for training programs.
//!
//! With autodiff, burn composes these functions of many small operations, each of which reads and writes the whole
//! tensor. On burn's CPU backend ([`Device::flex`](burn::tensor::Device::flex)), each function of this crate is instead
//! one pass, forward and backward, in the widest vectors of the processor (chosen at run time). The exception is
//! [`linear`]: it uses the product of `gemm`, which starts from the matrix that it is added to, and in training with
//! few rows a tiled product. On any other backend, and for other number types than `f32`, the functions use the
//! composed form. Both forms agree up to `f32` rounding, which is tested.
//!
//! Results do not depend on the number of threads nor, except for [`linear`], on the processor's vectors: sums have a
//! fixed order, and fused multiply-adds are explicit.
//!
//! [`HalfWeight`] is the exception to `f32` rounding: on request, it computes frozen layers in 16 bits.

mod adam;
pub mod composed;
#[cfg(feature = "flex")]
mod flex;
mod half;
pub mod memory;
#[cfg(not(feature = "flex"))]
mod no_half;
#[cfg(feature = "flex")]
mod slices;

pub use self::half::{Half, HalfWeight};
pub use adam::Adam;

use burn::tensor::{Device, Tensor};

/// Whether the operations of this crate are single passes on this device, that is, whether it is burn's CPU backend.
pub fn is_fused(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return flex::is_flex(device);
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// `x sigmoid(1.702 x)` of every element, the activation of OpenAI's CLIP.
///
/// Source: Hendrycks and Gimpel, [arXiv 1606.08415](https://arxiv.org/abs/1606.08415), section 2.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::takes(&[&x]) {
        return flex::quick_gelu(x);
    }
    composed::quick_gelu(x)
}

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis.
///
/// Source: Ba, Kiros and Hinton, [arXiv 1607.06450](https://arxiv.org/abs/1607.06450).
///
/// # Shapes
///
/// - x and output: `[..., width]`
/// - gamma, beta: `[width]`
///
/// # Panics
///
/// If `gamma` or `beta` is not as long as the last axis of `x`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let width = x.dims()[D - 1];
    assert_eq!((gamma.dims(), beta.dims()), ([width], [width]), "one gamma and beta a column");
    #[cfg(feature = "flex")]
    if flex::takes(&[&x]) && flex::takes(&[&gamma, &beta]) {
        return flex::layer_norm(x, gamma, beta, epsilon);
    }
    composed::layer_norm(x, gamma, beta, epsilon)
}

/// The square patches of images, a row each, channel by channel and line by line; pixels beyond the last whole patch are
/// left out. Without autodiff, burn's CPU backend copies them on all threads.
///
/// # Shapes
///
/// - images: `[batch, channels, height, width]`
/// - output: `[batch * (height / size) * (width / size), channels * size * size]`
///
/// # Panics
///
/// If `size` is 0 or larger than the images.
pub fn patches(images: Tensor<4>, size: usize) -> Tensor<2> {
    let [_, _, height, width] = images.dims();
    assert!((1..=height.min(width)).contains(&size), "no patch of {size} in {height} x {width}");
    #[cfg(feature = "flex")]
    if flex::steps(&[&images]) {
        return flex::patches(images, size);
    }
    composed::patches(images, size)
}

/// `onto + x W + bias`: a linear layer, added to `onto`.
///
/// # Shapes
///
/// - x: `[..., input]`
/// - weight: `[input, output]`; bias: `[output]`
/// - onto and output: `[..., output]`
///
/// # Panics
///
/// If the shapes are inconsistent.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    onto: Option<Tensor<D>>,
) -> Tensor<D> {
    let [input, output] = weight.dims();
    let mut dims = x.dims();
    assert_eq!(std::mem::replace(&mut dims[D - 1], output), input, "as wide as the weight is high");
    assert!(bias.iter().all(|bias| bias.dims() == [output]), "a bias a column");
    assert!(onto.iter().all(|onto| onto.dims() == dims), "as large as the output");
    #[cfg(feature = "flex")]
    if input > 0
        && output > 0
        && flex::takes(&[&x])
        && flex::takes(&[&weight])
        && bias.iter().all(|bias| flex::takes(&[bias]))
        && onto.iter().all(|onto| flex::takes(&[onto]))
    {
        return flex::linear(x, weight, bias, onto);
    }
    composed::linear(x, weight, bias, onto)
}

/// Multi-head scaled dot-product attention, `softmax(q k^T / sqrt(width / heads)) v` head by head; with `is_causal` a
/// position attends to itself and to earlier ones.
///
/// Source: Vaswani et al., [arXiv 1706.03762](https://arxiv.org/abs/1706.03762), section 3.2.
///
/// # Shapes
///
/// - q, k, v and output: `[batch, length, width]`; a head is a block of `width / heads` columns
///
/// # Panics
///
/// If the shapes differ or `heads` does not divide `width`.
pub fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Tensor<3> {
    let [_, length, width] = q.dims();
    assert_eq!((q.dims(), q.dims()), (k.dims(), v.dims()), "q, k and v have one shape");
    assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide a width of {width}");
    #[cfg(feature = "flex")]
    if length <= flex::LONGEST_ATTENTION && flex::takes(&[&q, &k, &v]) {
        return flex::attention(q, k, v, heads, is_causal);
    }
    #[cfg(not(feature = "flex"))]
    let _ = length;
    composed::attention(q, k, v, heads, is_causal)
}
