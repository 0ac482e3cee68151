//! The same of burn's own operations: what other backends run, and what the fused forms are tested
//! against.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor, activation, module};

pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x.mul_scalar(1.702))
}

pub(crate) fn layer_norm<const D: usize>(
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

pub(crate) fn attention(
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
