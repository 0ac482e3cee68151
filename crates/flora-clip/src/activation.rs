use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// The non-linearity between the two feed-forward layers (`hidden_act`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x sigmoid(1.702 x)`, the approximation of OpenAI's checkpoints.
    QuickGelu,
    /// The exact `x Phi(x)`, of OpenCLIP's later checkpoints.
    Gelu,
}

impl Activation {
    /// Applies the function to every element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::QuickGelu => flora_kernels::quick_gelu(x),
            Self::Gelu => activation::gelu(x),
        }
    }
}
