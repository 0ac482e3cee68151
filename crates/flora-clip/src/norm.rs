use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Layer norm over the last axis, with the parameter names of [`burn::nn::LayerNorm`].
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[width]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[width]`.
    pub beta: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn new(width: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([width], device),
            beta: Initializer::Zeros.init([width], device),
            epsilon,
        }
    }

    /// Applies the norm to `[..., width]`.
    ///
    /// # Panics
    ///
    /// Panics if the last axis of `x` has another width.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        flora_kernels::layer_norm(x, self.gamma.val(), self.beta.val(), self.epsilon)
    }
}
