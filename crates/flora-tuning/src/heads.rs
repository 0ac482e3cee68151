//! What methods put beside CLIP.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use flora_data::Features;

/// Places in a tensor, as burn wants them.
pub(crate) fn indices(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    Tensor::from_data(TensorData::new(numbers, [places.len()]), device)
}

/// A linear classifier.
#[derive(Module, Debug)]
pub struct LinearHead {
    /// A column for each class, `[dim, classes]`.
    pub weight: Param<Tensor<2>>,
    /// `[classes]`.
    pub bias: Param<Tensor<1>>,
}

impl LinearHead {
    /// The head whose columns are these rows, with a bias of zero.
    pub fn from_texts(texts: &Features, device: &Device) -> Self {
        let classes = texts.values.len() / texts.dim;
        let rows = TensorData::new(texts.values.clone(), [classes, texts.dim]);
        let bias = TensorData::new(vec![0f32; classes], [classes]);
        Self {
            weight: Param::from_tensor(Tensor::<2>::from_data(rows, device).transpose()),
            bias: Param::from_data(bias, device),
        }
    }

    /// `x W + b` for some classes.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, dim]`
    /// - output: `[batch, classes.len()]`
    pub fn forward(&self, x: Tensor<2>, classes: &[usize]) -> Tensor<2> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let columns = indices(classes, &weight.device());
        let bias = bias.select(0, columns.clone()).unsqueeze();
        x.matmul(weight.select(1, columns)) + bias
    }
}

/// FedCLIP's attention over the dimensions of a feature: `x softmax(W2 tanh(W1 x + b1) + b2)`.
#[derive(Module, Debug)]
pub struct AttentionAdapter {
    /// The first layer, `[dim, dim]`.
    pub fc1: Linear,
    /// The second, `[dim, dim]`.
    pub fc2: Linear,
}

impl AttentionAdapter {
    /// Both matrices the identity, both biases zero.
    pub fn identity(dim: usize, device: &Device) -> Self {
        let layer = || Linear {
            weight: Param::from_tensor(Tensor::eye(dim, device)),
            bias: Some(Param::from_tensor(Tensor::zeros([dim], device))),
        };
        Self { fc1: layer(), fc2: layer() }
    }

    /// The weighted features, `[batch, dim]`, of any length.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.fc1.forward(x.clone()).tanh();
        activation::softmax(self.fc2.forward(hidden), 1) * x
    }
}
