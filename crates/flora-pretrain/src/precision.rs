//! The precision of the towers.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use flora_clip::Clip;
use serde::{Deserialize, Serialize};

/// The precision of the towers. Weights, optimizer, loss and temperature are always `f32`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `f32` throughout.
    #[default]
    F32,
    /// bfloat16 in the towers: the weights are rounded for each step, and the gradients converted back. Its exponents
    /// are those of `f32`, so the loss needs no scaling. For GPUs; it also works on the CPU backend, slowly.
    Bf16,
}

impl Precision {
    /// A copy of the model with its own leaves, whose towers compute in this precision.
    pub(crate) fn fork(self, model: &Clip, device: &Device) -> Clip {
        match self {
            Self::F32 => model.clone().fork(device),
            Self::Bf16 => model.clone().map(&mut Rounded),
        }
    }

    /// Converts an input to the precision of the model.
    pub(crate) fn lower<const D: usize>(self, input: Tensor<D>, model: &Clip) -> Tensor<D> {
        match self {
            Self::F32 => input,
            // Validation uses the weights themselves, which are f32.
            Self::Bf16 => input.cast(model.visual_projection.weight.val().dtype()),
        }
    }

    /// Features as `f32`.
    pub(crate) fn raise(self, features: Tensor<2>) -> Tensor<2> {
        match self {
            Self::F32 => features,
            Self::Bf16 => features.cast(DType::F32),
        }
    }

    /// The gradients of a sum with respect to a forked model, as `f32`.
    pub(crate) fn gradients(self, sum: Tensor<1>, model: &Clip) -> GradientsParams {
        let gradients = GradientsParams::from_grads(sum.backward(), model);
        match self {
            Self::F32 => gradients,
            Self::Bf16 => {
                let mut widen = Widen { narrow: gradients, wide: GradientsParams::new() };
                model.visit(&mut widen);
                widen.wide
            }
        }
    }
}

/// Rounds every parameter, under its old identity: its gradient is that of the parameter.
struct Rounded;

impl ModuleMapper for Rounded {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let rounded = param.val().inner().cast(DType::BF16);
        Param::initialized(param.id, Tensor::from_inner(rounded).require_grad())
    }
}

struct Widen {
    narrow: GradientsParams,
    wide: GradientsParams,
}

impl ModuleVisitor for Widen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.narrow.remove::<D>(param.id) {
            self.wide.register(param.id, gradient.cast(DType::F32));
        }
    }
}
