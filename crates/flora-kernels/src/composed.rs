//! The composed forms: the same functions built from burn's own operations. Other backends than the CPU backend run
//! them, and the fused forms are tested and measured against them. Call the functions at the root of this crate
//! instead: they choose the form.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor, activation, module};

/// [`quick_gelu`](crate::quick_gelu) in three operations, for any number type.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x.mul_scalar(1.702))
}

/// burn's [`layer_norm`](crate::layer_norm), for any number type; 16-bit ones are computed in `f32`.
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
    let dtype = x.dtype();
    if matches!(dtype, DType::F16 | DType::BF16) {
        // The sum of squares needs more digits or a wider range than these types have.
        let [gamma, beta] = [gamma, beta].map(|vector| vector.cast(DType::F32));
        return module::layer_norm(x.cast(DType::F32), gamma, Some(beta), epsilon).cast(dtype);
    }
    module::layer_norm(x, gamma, Some(beta), epsilon)
}

/// [`patches`](crate::patches) by a permutation, for any number type.
pub fn patches(images: Tensor<4>, size: usize) -> Tensor<2> {
    let [batch, channels, height, width] = images.dims();
    let [down, across] = [height / size, width / size];
    let whole = images.slice([0..batch, 0..channels, 0..down * size, 0..across * size]);
    whole
        .reshape([batch, channels, down, size, across, size])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch * down * across, channels * size * size])
}

/// burn's [`linear`](crate::linear), for any number type.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    onto: Option<Tensor<D>>,
) -> Tensor<D> {
    let product = module::linear(x, weight, bias);
    match onto {
        Some(onto) => onto + product,
        None => product,
    }
}

/// burn's [`attention`](crate::attention), with the heads split and joined around it, for any number type and length.
///
/// # Panics
///
/// If the shapes differ or `heads` does not divide the width.
pub fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Tensor<3> {
    let [batch, length, width] = q.dims();
    let split = |x: Tensor<3>| x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2);
    let options = AttentionModuleOptions { is_causal, ..Default::default() };
    let mixed = module::attention(split(q), split(k), split(v), None, None, options);
    mixed.swap_dims(1, 2).reshape([batch, length, width])
}
