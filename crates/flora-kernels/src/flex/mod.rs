//! The fused operations as operations of burn's CPU backend, with their gradients.

pub(crate) mod half;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::slices;
use crate::slices::adam::Step;
use crate::slices::attention::Heads;
use crate::slices::product::{Matrix, Product, product_onto, sum_of_rows, training_product_onto};

/// Above this length the matrix products of the composed form are faster.
pub(crate) const LONGEST_ATTENTION: usize = 128;

/// Whether the fused operations support these tensors.
pub(crate) fn takes<const D: usize>(tensors: &[&Tensor<D>]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32 && is_flex(&tensor.device()))
}

pub(crate) fn is_flex(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the step of an optimizer supports these tensors.
pub(crate) fn steps<const D: usize>(tensors: &[&Tensor<D>]) -> bool {
    takes(tensors) && tensors.iter().all(|tensor| !tensor.device().is_autodiff())
}

pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::fused_quick_gelu(x.into_dispatch()))
}

pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
    let y = Dispatch::fused_layer_norm(x.into_dispatch(), gamma, beta, epsilon as f32);
    Tensor::from_dispatch(y)
}

pub(crate) fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Tensor<3> {
    let [_, length, width] = q.dims();
    let heads = Heads { count: heads, width: width / heads, length, is_causal };
    let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::fused_attention(q, k, v, heads))
}

pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    onto: Option<Tensor<D>>,
) -> Tensor<D> {
    // An empty tensor stands for none.
    let device = x.device();
    let bias = bias.unwrap_or_else(|| Tensor::empty([0], (&device, DType::F32))).into_dispatch();
    let onto = onto.unwrap_or_else(|| Tensor::empty([0; D], (&device, DType::F32))).into_dispatch();
    let y = Dispatch::fused_linear(x.into_dispatch(), weight.into_dispatch(), bias, onto);
    Tensor::from_dispatch(y)
}

/// The parameter and its moments after a step.
pub(crate) fn adam<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
    step: Step,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let [first, second] = moments.map(Tensor::into_dispatch);
    let (parameter, gradient) = (parameter.into_dispatch(), gradient.into_dispatch());
    let (parameter, first, second) = Dispatch::fused_adam(parameter, gradient, first, second, step);
    (Tensor::from_dispatch(parameter), [first, second].map(Tensor::from_dispatch))
}

pub(crate) fn patches(images: Tensor<4>, size: usize) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::cut_patches(images.into_dispatch(), size))
}

/// Operations without gradients: the steps of optimizers, and the layout of images.
#[backend_extension(Flex)]
pub(crate) trait StepOps: Backend {
    fn cut_patches(images: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

    fn fused_adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl StepOps for Flex {
    fn cut_patches(images: FlexTensor, size: usize) -> FlexTensor {
        let [batch, channels, height, width] = images.shape().dims();
        let rows = batch * (height / size) * (width / size);
        let patches = slices::patches::patches(&values(&images), [channels, height, width], size);
        tensor(patches, Shape::new([rows, channels * size * size]))
    }

    fn fused_adam(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: Step,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        // Usually in place, because the tensors are not shared.
        let [mut first, mut second] = [first, second].map(whole);
        let moments = [first.storage_mut(), second.storage_mut()];
        let updated = slices::adam::adam(&values(&parameter), &values(&gradient), moments, step);
        (tensor(updated, parameter.shape()), first, second)
    }
}

/// A tensor whose values are all of its storage, in order.
fn whole(tensor: FlexTensor) -> FlexTensor {
    match tensor.layout().contiguous_offsets() {
        Some((0, end)) if end == tensor.storage::<f32>().len() => tensor,
        _ => tensor.to_contiguous(),
    }
}

/// The fused operations of a backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedOps: Backend {
    fn fused_quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: Heads,
    ) -> FloatTensor<Self>;

    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The values; a view with gaps is copied first.
fn values(tensor: &FlexTensor) -> std::borrow::Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(values) => values.into(),
        None => {
            let copied = tensor.to_contiguous().into_data().try_into_vec();
            copied.expect("contiguous f32").into()
        }
    }
}

/// A tensor of two axes in its own layout; `copy` holds a copy of one with negative strides.
fn matrix<'a>(tensor: &'a FlexTensor, copy: &'a mut Option<FlexTensor>) -> Matrix<'a> {
    let tensor = match tensor.layout().strides().iter().any(|&stride| stride < 0) {
        true => copy.insert(tensor.to_contiguous()),
        false => tensor,
    };
    let layout = tensor.layout();
    let (shape, strides) = (layout.shape(), layout.strides());
    let values: &[f32] = &tensor.storage()[layout.start_offset()..];
    Matrix::new(values, [shape[0], shape[1]], [strides[0] as usize, strides[1] as usize])
}

/// No values stand for none.
fn given(values: &[f32]) -> Option<&[f32]> {
    (!values.is_empty()).then_some(values)
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

impl FusedOps for Flex {
    fn fused_quick_gelu(x: FlexTensor) -> FlexTensor {
        tensor(slices::activation::quick_gelu(&values(&x)), x.shape())
    }

    fn fused_layer_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
    ) -> FlexTensor {
        let y = slices::norm::layer_norm(&values(&x), &values(&gamma), &values(&beta), epsilon);
        tensor(y, x.shape())
    }

    fn fused_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, heads: Heads) -> FlexTensor {
        let y = slices::attention::attention(&values(&q), &values(&k), &values(&v), heads);
        tensor(y, q.shape())
    }

    fn fused_linear(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        onto: FlexTensor,
    ) -> FlexTensor {
        linear_by(product_onto, x, weight, bias, onto)
    }
}

fn linear_by(
    product: Product,
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    onto: FlexTensor,
) -> FlexTensor {
    let [input, output] = weight.shape().dims();
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = output;
    let (x, bias, onto, mut copy) = (values(&x), values(&bias), values(&onto), None);
    let (x, weight) = (Matrix::of_rows(&x, input), matrix(&weight, &mut copy));
    tensor(product(x, weight, given(&bias), given(&onto)), shape)
}

#[derive(Debug)]
struct QuickGelu;

impl Backward<Flex, 1> for QuickGelu {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let x = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| {
            let dx = slices::activation::quick_gelu_backward(&values(&x), &values(&dy));
            tensor(dx, x.shape())
        });
    }
}

#[derive(Debug)]
struct LayerNorm;

impl Backward<Flex, 3> for LayerNorm {
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (x, gamma, epsilon) = ops.state;
        let found =
            slices::norm::layer_norm_backward(&values(&x), &values(&gamma), &values(&dy), epsilon);
        let shapes = [x.shape(), gamma.shape(), gamma.shape()];
        let gradients = [found.x, found.gamma, found.beta];
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(gradients).zip(shapes) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(gradient, shape));
            }
        }
    }
}

#[derive(Debug)]
struct Attention;

impl Backward<Flex, 3> for Attention {
    type State = ([FlexTensor; 3], Heads);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let ([q, k, v], heads) = ops.state;
        let gradients = slices::attention::attention_backward(
            &values(&q),
            &values(&k),
            &values(&v),
            &values(&dy),
            heads,
        );
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(gradient, q.shape()));
            }
        }
    }
}

#[derive(Debug)]
struct Linear;

/// The gradients need `W` for that of `x`, and `x` for that of `W`.
#[derive(Debug, Clone)]
struct LinearState {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
    x_shape: Shape,
    weight_shape: Shape,
}

impl Backward<Flex, 4> for Linear {
    type State = LinearState;

    fn backward(self, ops: Ops<LinearState, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let [x, weight, bias, onto] = ops.parents;
        let state = ops.state;
        let [input, output] = state.weight_shape.dims();
        let dy_values = values(&dy);
        let dy_rows = Matrix::of_rows(&dy_values, output);
        if let (Some(node), Some(weight)) = (x, state.weight) {
            let mut copy = None;
            let weight = matrix(&weight, &mut copy).transposed();
            let dx = training_product_onto(dy_rows, weight, None, None);
            grads.register::<Flex>(node.id, tensor(dx, state.x_shape));
        }
        if let (Some(node), Some(x)) = (weight, state.x) {
            let x = values(&x);
            let x = Matrix::of_rows(&x, input).transposed();
            let dw = training_product_onto(x, dy_rows, None, None);
            grads.register::<Flex>(node.id, tensor(dw, state.weight_shape));
        }
        if let Some(node) = bias {
            let db = tensor(sum_of_rows(&dy_values, output), Shape::new([output]));
            grads.register::<Flex>(node.id, db);
        }
        drop(dy_values);
        if let Some(node) = onto {
            grads.register::<Flex>(node.id, dy);
        }
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let kept = |tensor: &FloatTensor<Self>, other: &FloatTensor<Self>| {
            other.is_tracked().then(|| tensor.primitive().clone())
        };
        let state = LinearState {
            x: kept(&x, &weight),
            weight: kept(&weight, &x),
            x_shape: x.primitive().shape(),
            weight_shape: weight.primitive().shape(),
        };
        let [(x, x_node), (weight, weight_node), (bias, bias_node), (onto, onto_node)] =
            [x, weight, bias, onto].map(|tensor| tensor.into_parts());
        let y = linear_by(training_product_onto, x, weight, bias, onto);
        let nodes = [x_node, weight_node, bias_node, onto_node];
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match QuickGelu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), Flex::fused_quick_gelu(x)),
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_quick_gelu(x)),
        }
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let [(x, x_node), (gamma, gamma_node), (beta, beta_node)] =
            [x, gamma, beta].map(|tensor| tensor.into_parts());
        let y = Flex::fused_layer_norm(x.clone(), gamma.clone(), beta, epsilon);
        match LayerNorm.prepare::<C>([x_node, gamma_node, beta_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, gamma, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: Heads,
    ) -> FloatTensor<Self> {
        let [(q, q_node), (k, k_node), (v, v_node)] = [q, k, v].map(|tensor| tensor.into_parts());
        let y = Flex::fused_attention(q.clone(), k.clone(), v.clone(), heads);
        match Attention.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([q, k, v], heads), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
