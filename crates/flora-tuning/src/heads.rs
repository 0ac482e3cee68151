//! Modules that methods add to CLIP.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use flora_data::Features;

/// Indices as a burn tensor.
pub(crate) fn indices(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    Tensor::from_data(TensorData::new(numbers, [places.len()]), device)
}

/// A linear classifier.
#[derive(Module, Debug)]
pub struct LinearHead {
    /// One column per class, `[dim, classes]`.
    pub weight: Param<Tensor<2>>,
    /// `[classes]`.
    pub bias: Param<Tensor<1>>,
}

impl LinearHead {
    /// A head whose columns are these rows, with zero bias.
    pub fn from_texts(texts: &Features, device: &Device) -> Self {
        let classes = texts.values.len() / texts.dim;
        Self::from_rows(texts.values.clone(), vec![0f32; classes], device)
    }

    /// A head whose columns are the rows of `[classes, dim]`, with a bias each.
    pub fn from_rows(rows: Vec<f32>, bias: Vec<f32>, device: &Device) -> Self {
        let classes = bias.len();
        let dim = rows.len() / classes.max(1);
        let rows = TensorData::new(rows, [classes, dim]);
        let bias = TensorData::new(bias, [classes]);
        Self {
            weight: Param::from_tensor(Tensor::<2>::from_data(rows, device).transpose()),
            bias: Param::from_data(bias, device),
        }
    }

    /// The head for the classes `to`, given that its columns are `from`; zero for an unknown class.
    pub(crate) fn of_classes(&self, from: &[String], to: &[String]) -> Self {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let device = weight.device();
        let dim = weight.dims()[0];
        // An additional column of zeros for all unknown classes.
        let weight = Tensor::cat(vec![weight, Tensor::zeros([dim, 1], &device)], 1);
        let bias = Tensor::cat(vec![bias, Tensor::zeros([1], &device)], 0);
        let place = |class| from.iter().position(|known| known == class).unwrap_or(from.len());
        let columns = indices(&to.iter().map(place).collect::<Vec<_>>(), &device);
        Self {
            weight: Param::from_tensor(weight.select(1, columns.clone())),
            bias: Param::from_tensor(bias.select(0, columns)),
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

/// The sums from which a closed-form method solves its classifier, in the layout of [`flora_heads::Moments`] records.
#[derive(Module, Debug)]
pub struct MomentSums {
    /// Sum of `x x^T`, its upper triangle by rows, `[dim (dim + 1) / 2]`.
    pub gram: Param<Tensor<1>>,
    /// Sum of the features of each class, `[classes, dim]`.
    pub class_sums: Param<Tensor<2>>,
    /// Number of images of each class, `[classes]`.
    pub class_counts: Param<Tensor<1>>,
}

impl MomentSums {
    /// The sums over no images.
    pub fn zero(dim: usize, classes: usize, device: &Device) -> Self {
        Self {
            gram: Param::from_tensor(Tensor::zeros([dim * (dim + 1) / 2], device)),
            class_sums: Param::from_tensor(Tensor::zeros([classes, dim], device)),
            class_counts: Param::from_tensor(Tensor::zeros([classes], device)),
        }
    }

    /// Dimensions of a feature.
    pub fn dim(&self) -> usize {
        self.class_sums.dims()[1]
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
    /// Identity matrices and zero biases.
    pub fn identity(dim: usize, device: &Device) -> Self {
        let layer = || Linear {
            weight: Param::from_tensor(Tensor::eye(dim, device)),
            bias: Some(Param::from_tensor(Tensor::zeros([dim], device))),
        };
        Self { fc1: layer(), fc2: layer() }
    }

    /// The weighted features, `[batch, dim]`, of any norm.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.fc1.forward(x.clone()).tanh();
        activation::softmax(self.fc2.forward(hidden), 1) * x
    }
}
