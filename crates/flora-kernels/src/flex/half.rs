//! Products in 16 bits as an operation of burn's CPU backend, without gradients.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};

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
    assert!(bias.is_none_or(|bias| bias.dims() == [output]), "a bias a column");
    assert!(onto.is_none_or(|onto| onto.dims() == dims), "as large as the output");
    if !(is_plain(Some(x)) && is_plain(bias) && is_plain(onto)) {
        return None;
    }
    let (bias, onto) = (or_empty(bias, x), or_empty(onto, x));
    let y = Dispatch::half_linear(x.clone().into_dispatch(), bias, onto, Arc::clone(weight));
    Some(Tensor::from_dispatch(y))
}

/// The feed-forward network of two weights: `None` as for [`linear`].
pub(crate) fn feed_forward<const D: usize>(
    weights: [&Weight; 2],
    x: &Tensor<D>,
    biases: [Option<&Tensor<1>>; 2],
    onto: Option<&Tensor<D>>,
) -> Option<Tensor<D>> {
    let [[input, wide], [narrow, output]] = weights.map(|weight| weight.dims());
    let mut dims = x.dims();
    assert_eq!(std::mem::replace(&mut dims[D - 1], output), input, "as wide as the weight is high");
    assert_eq!(narrow, wide, "as high as the other is wide");
    for (bias, width) in biases.into_iter().zip([wide, output]) {
        assert!(bias.is_none_or(|bias| bias.dims() == [width]), "a bias a column");
    }
    assert!(onto.is_none_or(|onto| onto.dims() == dims), "as large as the output");
    if !(is_plain(Some(x)) && biases.into_iter().all(is_plain) && is_plain(onto)) {
        return None;
    }
    let ([bias, next_bias], onto) = (biases.map(|bias| or_empty(bias, x)), or_empty(onto, x));
    let [weight, next] = weights.map(Arc::clone);
    let x = x.clone().into_dispatch();
    Some(Tensor::from_dispatch(Dispatch::half_feed_forward(x, bias, next_bias, onto, weight, next)))
}

fn is_plain<const D: usize>(tensor: Option<&Tensor<D>>) -> bool {
    tensor.is_none_or(|tensor| steps(&[tensor]))
}

/// An empty tensor stands for none.
fn or_empty<const D: usize, const E: usize>(
    tensor: Option<&Tensor<D>>,
    x: &Tensor<E>,
) -> DispatchTensor {
    match tensor {
        Some(tensor) => tensor.clone().into_dispatch(),
        None => Tensor::<D>::empty([0; D], (&x.device(), DType::F32)).into_dispatch(),
    }
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

    fn half_feed_forward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        next_bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
        weight: Weight,
        next: Weight,
    ) -> FloatTensor<Self>;
}

impl HalfOps for Flex {
    fn half_linear(
        x: FlexTensor,
        bias: FlexTensor,
        onto: FlexTensor,
        weight: Weight,
    ) -> FlexTensor {
        let shape = as_wide(&x, weight.dims()[1]);
        let (x, bias, onto) = (values(&x), values(&bias), values(&onto));
        tensor(weight.product_onto(&x, given(&bias), given(&onto)), shape)
    }

    fn half_feed_forward(
        x: FlexTensor,
        bias: FlexTensor,
        next_bias: FlexTensor,
        onto: FlexTensor,
        weight: Weight,
        next: Weight,
    ) -> FlexTensor {
        let shape = as_wide(&x, next.dims()[1]);
        let (x, onto) = (values(&x), values(&onto));
        let biases = [&bias, &next_bias].map(values);
        let biases = [given(&biases[0]), given(&biases[1])];
        tensor(weight.feed_forward(&next, &x, biases, given(&onto)), shape)
    }
}

/// The shape of `x` with another last axis.
fn as_wide(x: &FlexTensor, width: usize) -> Shape {
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = width;
    shape
}
