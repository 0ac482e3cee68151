//! Products in 16 bits as an operation of burn's CPU backend, without gradients.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};

use super::{given, steps, takes, tensor, values};
use crate::Half;
use crate::slices::half::Packed;

pub(crate) type Weight = Arc<Packed>;

/// `None` on other devices.
pub(crate) fn pack(weight: &Tensor<2>, half: Half) -> Option<Weight> {
    if !takes(&[weight]) {
        return None;
    }
    let dims = weight.dims();
    let weight = weight.clone().into_data().try_into_vec().expect("f32 on the host");
    Some(Arc::new(Packed::new(&weight, dims, half)))
}

pub(crate) fn is_emulated(weight: &Weight) -> bool {
    weight.is_plain()
}

pub(crate) fn linear<const D: usize>(
    weight: &Weight,
    x: &Tensor<D>,
    bias: Option<&Tensor<1>>,
    onto: Option<&Tensor<D>>,
) -> Option<Tensor<D>> {
    let [input, output] = weight.dims();
    let mut dims = x.dims();
    assert_eq!(std::mem::replace(&mut dims[D - 1], output), input, "as wide as the weight is high");
    assert!(bias.iter().all(|bias| bias.dims() == [output]), "a bias a column");
    assert!(onto.iter().all(|onto| onto.dims() == dims), "as large as the output");
    let fits = steps(&[x])
        && bias.iter().all(|bias| steps(&[bias]))
        && onto.iter().all(|onto| steps(&[onto]));
    if !fits {
        return None;
    }
    // An empty tensor stands for none.
    let device = x.device();
    let none = (&device, DType::F32);
    let bias = bias.cloned().unwrap_or_else(|| Tensor::empty([0], none)).into_dispatch();
    let onto = onto.cloned().unwrap_or_else(|| Tensor::empty([0; D], none)).into_dispatch();
    let y = Dispatch::half_linear(x.clone().into_dispatch(), bias, onto, Arc::clone(weight));
    Some(Tensor::from_dispatch(y))
}

/// Products without gradients.
#[backend_extension(Flex)]
pub(crate) trait HalfOps: Backend {
    fn half_linear(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
        weight: Weight,
    ) -> FloatTensor<Self>;
}

impl HalfOps for Flex {
    fn half_linear(
        x: FlexTensor,
        bias: FlexTensor,
        onto: FlexTensor,
        weight: Weight,
    ) -> FlexTensor {
        let mut shape = x.shape();
        let last = shape.num_dims() - 1;
        shape[last] = weight.dims()[1];
        let (x, bias, onto) = (values(&x), values(&bias), values(&onto));
        tensor(weight.product_onto(&x, given(&bias), given(&onto)), shape)
    }
}
