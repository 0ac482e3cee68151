//! The transformer that both towers share: pre-norm blocks of attention and feed-forward.

mod cut;
mod one_query;
mod prefix;
mod reading;
mod sequences;

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flora_kernels::attention;
use flora_lora::LoraLinear;

use crate::{Activation, LayerNorm};
pub(crate) use cut::Cut;
pub(crate) use prefix::Prefix;
pub(crate) use sequences::Sequences;

/// Sizes of one tower's encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncoderSizes {
    pub(crate) width: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f64,
}

/// A stack of [`EncoderLayer`]s.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The blocks, in order.
    pub layers: Vec<EncoderLayer>,
}

/// One pre-norm block.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Multi-head self-attention.
    pub self_attn: Attention,
    /// Norm before the attention.
    pub layer_norm1: LayerNorm,
    /// Feed-forward network.
    pub mlp: Mlp,
    /// Norm before the feed-forward network.
    pub layer_norm2: LayerNorm,
}

/// Multi-head self-attention.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query projection.
    pub q_proj: LoraLinear,
    /// Key projection.
    pub k_proj: LoraLinear,
    /// Value projection.
    pub v_proj: LoraLinear,
    /// Output projection, the one that FLoRA adapts.
    pub out_proj: LoraLinear,
    #[module(skip)]
    heads: usize,
}

/// The feed-forward network of a block.
#[derive(Module, Debug)]
pub struct Mlp {
    /// From the residual width to the intermediate width.
    pub fc1: LoraLinear,
    /// Back to the residual width.
    pub fc2: LoraLinear,
    #[module(skip)]
    activation: Activation,
}

impl Encoder {
    pub(crate) fn new(sizes: EncoderSizes, device: &Device) -> Self {
        Self { layers: (0..sizes.layers).map(|_| EncoderLayer::new(sizes, device)).collect() }
    }

    /// Applies every block; with `is_causal`, a position attends only to itself and earlier positions.
    ///
    /// Only the final states at `rows` are returned: the last block skips work that only the others need.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, length, width]`
    /// - rows: positions in `batch * length`
    /// - output: `[rows, width]`
    pub fn forward(&self, x: Tensor<3>, is_causal: bool, rows: Tensor<1, Int>) -> Tensor<2> {
        self.resume(Prefix::start(x), &Sequences::apart(is_causal), rows)
    }

    /// Whether an adapter has dropout.
    pub(crate) fn has_dropout(&self) -> bool {
        self.layers.iter().any(EncoderLayer::has_dropout)
    }

    pub(crate) fn adaptable_layers(&mut self, prefix: &str) -> Vec<(String, &mut LoraLinear)> {
        let mut found = Vec::with_capacity(self.layers.len() * 6);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for (name, linear) in [
                ("self_attn.q_proj", &mut layer.self_attn.q_proj),
                ("self_attn.k_proj", &mut layer.self_attn.k_proj),
                ("self_attn.v_proj", &mut layer.self_attn.v_proj),
                ("self_attn.out_proj", &mut layer.self_attn.out_proj),
                ("mlp.fc1", &mut layer.mlp.fc1),
                ("mlp.fc2", &mut layer.mlp.fc2),
            ] {
                found.push((format!("{prefix}.layers.{index}.{name}"), linear));
            }
        }
        found
    }
}

impl EncoderLayer {
    fn new(sizes: EncoderSizes, device: &Device) -> Self {
        let EncoderSizes { width, intermediate, .. } = sizes;
        let linear = |input, output| linear(input, output, true, device);
        Self {
            self_attn: Attention {
                q_proj: linear(width, width),
                k_proj: linear(width, width),
                v_proj: linear(width, width),
                out_proj: linear(width, width),
                heads: sizes.heads,
            },
            layer_norm1: LayerNorm::new(width, sizes.epsilon, device),
            mlp: Mlp {
                fc1: linear(width, intermediate),
                fc2: linear(intermediate, width),
                activation: sizes.activation,
            },
            layer_norm2: LayerNorm::new(width, sizes.epsilon, device),
        }
    }

    /// `x + attention(norm(x))`, then `x + mlp(norm(x))`, on `[batch, length, width]`.
    pub fn forward(&self, x: Tensor<3>, is_causal: bool) -> Tensor<3> {
        self.pass(x, &Sequences::apart(is_causal))
    }

    fn pass(&self, x: Tensor<3>, sequences: &Sequences) -> Tensor<3> {
        let mixed = self.mix(x.clone(), sequences);
        self.feed_forward(self.project(x, mixed))
    }

    /// The attention of `norm(x)` before its output projection.
    fn mix(&self, x: Tensor<3>, sequences: &Sequences) -> Tensor<3> {
        self.self_attn.mix(self.layer_norm1.forward(x), sequences)
    }

    /// `x` plus the output of the attention.
    fn project<const D: usize>(&self, x: Tensor<D>, mixed: Tensor<D>) -> Tensor<D> {
        self.self_attn.out_proj.forward_onto(mixed, Some(x))
    }

    /// `x + mlp(norm(x))`.
    fn feed_forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.mlp.forward_onto(self.layer_norm2.forward(x.clone()), x)
    }
}

/// Selects rows of `[batch * length, width]`.
fn pick(x: Tensor<3>, rows: Tensor<1, Int>) -> Tensor<2> {
    let [batch, length, width] = x.dims();
    x.reshape([batch * length, width]).select(0, rows)
}

/// Indices as a burn tensor.
pub(crate) fn indices(places: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let places: Vec<i32> = places.map(|place| place as i32).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

impl Attention {
    /// Scaled dot-product attention over `[batch, length, width]`.
    pub fn forward(&self, x: Tensor<3>, is_causal: bool) -> Tensor<3> {
        self.out_proj.forward(self.mix(x, &Sequences::apart(is_causal)))
    }

    /// The attention before its output projection.
    fn mix(&self, x: Tensor<3>, sequences: &Sequences) -> Tensor<3> {
        let projected =
            [&self.q_proj, &self.k_proj, &self.v_proj].map(|layer| layer.forward(x.clone()));
        let [q, k, v] = projected.map(|x| sequences.spread(x));
        sequences.gather(attention(q, k, v, self.heads, sequences.is_causal()))
    }
}

impl Mlp {
    /// `fc2(activation(fc1(x)))` on `[..., width]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.fc2.forward(self.widen(x))
    }

    fn forward_onto<const D: usize>(&self, x: Tensor<D>, onto: Tensor<D>) -> Tensor<D> {
        let Self { fc1, fc2, activation } = self;
        let network = match activation {
            Activation::QuickGelu => fc1.half_feed_forward(fc2, &x, &onto),
            Activation::Gelu => None,
        };
        network.unwrap_or_else(|| fc2.forward_onto(self.widen(x), Some(onto)))
    }

    fn widen<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.activation.forward(self.fc1.forward(x))
    }
}

/// A linear layer whose weights are loaded or drawn later: nothing is allocated here.
pub(crate) fn linear(input: usize, output: usize, bias: bool, device: &Device) -> LoraLinear {
    LoraLinear::new(input, output, bias, &Initializer::Zeros, device)
}
