//! Frozen linear layers in bf16.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::bf16 as form;
#[cfg(not(feature = "flex"))]
use crate::no_bf16 as form;

/// The weight of a frozen linear layer in bf16, rounded once for all products with it, of which none has a gradient.
///
/// Inputs are rounded to bf16, too, each to the nearest and then even; products are added in `f32`, and so are bias and
/// what the output is added to. An output is off by at most 2/256 of the sum of its products' magnitudes; of the sums
/// of ViT-B/32, a thousandth is common.
///
/// On burn's CPU backend alone. A processor with AVX512-BF16 multiplies about twice as fast so as in `f32`
/// ([`bf16_is_native`]); elsewhere the rounded numbers are multiplied as `f32`, for the same results at its speed.
/// Clones share the weight.
#[derive(Debug, Clone)]
pub struct Bf16Weight(form::Weight);

/// Whether this processor multiplies bf16 numbers itself, so that a [`Bf16Weight`] saves time: AVX512-BF16.
pub fn bf16_is_native() -> bool {
    form::is_native()
}

impl Bf16Weight {
    /// Rounds `weight`, `[input, output]`, and lays it out for products. `None` on another device than burn's CPU
    /// backend, for other number types than `f32`, and where it is empty.
    pub fn new(weight: &Tensor<2>) -> Option<Self> {
        form::pack(weight).map(Self)
    }

    /// [`linear`](crate::linear) in bf16, `onto + x W + bias`. `None` where `x` is not an `f32` tensor of burn's CPU
    /// backend without autodiff.
    ///
    /// # Shapes
    ///
    /// - x: `[..., input]`
    /// - bias: `[output]`
    /// - onto and output: `[..., output]`
    ///
    /// # Panics
    ///
    /// Panics if the shapes do not fit together.
    pub fn linear<const D: usize>(
        &self,
        x: &Tensor<D>,
        bias: Option<&Tensor<1>>,
        onto: Option<&Tensor<D>>,
    ) -> Option<Tensor<D>> {
        form::linear(&self.0, x, bias, onto)
    }
}
