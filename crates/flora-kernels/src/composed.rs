//! The same of burn's own operations: what backends other than its CPU backend run, and what the fused
//! forms are tested and measured against. Call the functions at the root of this crate instead: they
//! take whichever form fits.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor, activation, module};

/// [`quick_gelu`](crate::quick_gelu) in three operations, of any number type.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x.mul_scalar(1.702))
}

/// [`layer_norm`](crate::layer_norm) as burn has it, of any number type; 16-bit ones are computed in `f32`.
///
/// # Panics
///
/// Panics if `gamma` or `beta` is not as long as the last axis of `x`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let dtype = x.dtype();
    if matches!(dtype, DType::F16 | DType::BF16) {
        // The sum of squares needs more digits or a wider range than these have.
        let [gamma, beta] = [gamma, beta].map(|vector| vector.cast(DType::F32));
        return module::layer_norm(x.cast(DType::F32), gamma, Some(beta), epsilon).cast(dtype);
    }
    module::layer_norm(x, gamma, Some(beta), epsilon)
}

/// [`linear`](crate::linear) by burn's own, of any number type.
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

/// [`attention`](crate::attention) by burn's own, with the heads split and joined around it, of any
/// number type and length.
///
/// # Panics
///
/// Panics if the shapes differ or `heads` does not divide the width.
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
