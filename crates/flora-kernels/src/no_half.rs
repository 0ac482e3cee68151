//! Stubs for builds without burn's CPU backend: no weight is packed.

use std::convert::Infallible;

use burn::tensor::Tensor;

use crate::Half;

pub(crate) type Weight = Infallible;

pub(crate) fn is_emulated(weight: &Weight) -> bool {
    match *weight {}
}

pub(crate) fn pack(_: &Tensor<2>, _: Half) -> Option<Weight> {
    None
}

pub(crate) fn linear<const D: usize>(
    weight: &Weight,
    _: &Tensor<D>,
    _: Option<&Tensor<1>>,
    _: Option<&Tensor<D>>,
) -> Option<Tensor<D>> {
    match *weight {}
}

pub(crate) fn feed_forward<const D: usize>(
    weights: [&Weight; 2],
    _: &Tensor<D>,
    _: [Option<&Tensor<1>>; 2],
    _: Option<&Tensor<D>>,
) -> Option<Tensor<D>> {
    match *weights[0] {}
}
