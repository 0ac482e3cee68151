//! The fused operations as burn operations of its CPU backend, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape, Tensor, TensorData};

use crate::slices;
use crate::slices::attention::Heads;

/// Above this length the matrix products of the composed form are the faster ones.
pub(crate) const LONGEST_ATTENTION: usize = 128;

/// Whether the fused operations take these tensors.
pub(crate) fn takes<const D: usize>(tensors: &[&Tensor<D>]) -> bool {
    tensors.iter().all(|tensor| {
        tensor.dtype() == DType::F32
            && matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
    })
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
}

/// The values, copied together first where a view has gaps.
fn values(tensor: &FlexTensor) -> std::borrow::Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(values) => values.into(),
        None => tensor.to_contiguous().as_slice().expect("contiguous f32").to_vec().into(),
    }
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

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
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
