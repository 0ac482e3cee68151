use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flora_kernels::{Half, HalfWeight, linear};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::dropout::SeededDropout;
use crate::{Init, LoraConfig};

/// A linear layer `y = x W + b` that can carry a low-rank adapter.
///
/// Replaces `burn::nn::Linear`, with the same parameter names and layout.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// Matrix of shape `[d_input, d_output]`.
    pub weight: Param<Tensor<2>>,
    /// Vector of shape `[d_output]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter, once attached.
    pub lora: Option<LoraAdapter>,
    /// The weight in 16 bits, for inputs without autodiff.
    #[module(skip)]
    rounded: Option<HalfWeight>,
}

impl LoraLinear {
    /// A layer without an adapter whose weights are drawn by `initializer` (biases are zero).
    pub fn new(
        d_input: usize,
        d_output: usize,
        bias: bool,
        initializer: &Initializer,
        device: &Device,
    ) -> Self {
        let weight =
            initializer.init_with([d_input, d_output], Some(d_input), Some(d_output), device);
        let bias = bias.then(|| Initializer::Zeros.init([d_output], device));
        Self::of(weight, bias)
    }

    /// A layer without an adapter with these parameters, `[d_input, d_output]` and `[d_output]`.
    pub fn of(weight: Param<Tensor<2>>, bias: Option<Param<Tensor<1>>>) -> Self {
        Self { weight, bias, lora: None, rounded: None }
    }

    /// Sets the precision of `x W` for inputs without autodiff, if it is not `f32`: see [`HalfWeight`]. Bias, adapter
    /// and all gradients stay in `f32`. Use it for frozen layers: later changes of the weight have no effect. On
    /// devices without the type nothing changes.
    pub fn set_half(&mut self, half: Option<Half>) {
        self.rounded = half.and_then(|half| HalfWeight::new(&self.weight.val(), half));
    }

    /// Applies the layer, `y = x W + b`, plus `s (x A) B` if there is an adapter.
    ///
    /// # Shapes
    ///
    /// - input: `[..., d_input]`
    /// - output: `[..., d_output]`
    ///
    /// # Panics
    ///
    /// If the last axis of `input` is not `d_input`.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_onto(input, None)
    }

    /// [`LoraLinear::forward`] plus `onto`, computed in one pass.
    ///
    /// # Shapes
    ///
    /// - input: `[..., d_input]`
    /// - onto and output: `[..., d_output]`
    ///
    /// # Panics
    ///
    /// If the shapes are inconsistent.
    pub fn forward_onto<const D: usize>(
        &self,
        input: Tensor<D>,
        onto: Option<Tensor<D>>,
    ) -> Tensor<D> {
        match &self.lora {
            None => self.base(input, onto),
            Some(lora) => lora.forward_onto(input.clone(), Some(self.base(input, onto))),
        }
    }

    /// `onto + next(quick_gelu(self(input)))` in one pass; `None` unless both layers are without adapter and in 16 bits,
    /// and the tensors as [`HalfWeight::linear`] takes them.
    ///
    /// # Shapes
    ///
    /// - input: `[..., d_input]`
    /// - onto and output: `[..., d_output of next]`
    ///
    /// # Panics
    ///
    /// If the shapes are inconsistent.
    pub fn half_feed_forward<const D: usize>(
        &self,
        next: &Self,
        input: &Tensor<D>,
        onto: &Tensor<D>,
    ) -> Option<Tensor<D>> {
        let rounded = |layer: &Self| layer.rounded.clone().filter(|_| layer.lora.is_none());
        let biases = [self, next].map(|layer| layer.bias.as_ref().map(|bias| bias.val()));
        let biases = [biases[0].as_ref(), biases[1].as_ref()];
        rounded(self)?.feed_forward(&rounded(next)?, input, biases, Some(onto))
    }

    fn base<const D: usize>(&self, input: Tensor<D>, onto: Option<Tensor<D>>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        let rounded = self.rounded.as_ref();
        match rounded.and_then(|weight| weight.linear(&input, bias.as_ref(), onto.as_ref())) {
            Some(output) => output,
            None => linear(input, self.weight.val(), bias, onto),
        }
    }

    /// `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        // The shape is known without initialising a lazy parameter.
        let shape = self.weight.lazy_shape();
        [shape[0], shape[1]]
    }
}

/// The low-rank part `s (x A) B` of a [`LoraLinear`], or `s (x A) R B` if there is a core between the two.
#[derive(Module, Debug)]
pub struct LoraAdapter {
    /// `A`, of shape `[d_input, r]`. PEFT's `lora_A.weight` is its transpose.
    pub lora_a: Param<Tensor<2>>,
    /// `B`, of shape `[r, d_output]`. PEFT's `lora_B.weight` is its transpose.
    pub lora_b: Param<Tensor<2>>,
    /// `R`, of shape `[r, r]`, between `A` and `B`, which are then frozen: LoRA-XS ([arXiv
    /// 2405.17604](https://arxiv.org/abs/2405.17604)) and Fed-SB train only `R`. New adapters have none.
    pub lora_r: Option<Param<Tensor<2>>>,
    /// The scale `s`.
    #[module(skip)]
    pub scale: f64,
    #[module(skip)]
    pub(crate) dropout: Option<SeededDropout>,
}

impl LoraAdapter {
    /// A new adapter for a layer of shape `[d_input, d_output]`: `A` drawn from `random` with `config.init`, `B` zero.
    pub(crate) fn new(
        [d_input, d_output]: [usize; 2],
        config: &LoraConfig,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let a = draw(config.init, d_input, config.r, random);
        Self::with_a(a, [d_input, d_output], config, random, device)
    }

    /// An adapter whose values will be loaded: both matrices are zero.
    pub(crate) fn zeros(
        [d_input, d_output]: [usize; 2],
        config: &LoraConfig,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let a = vec![0.0; d_input * config.r];
        Self::with_a(a, [d_input, d_output], config, random, device)
    }

    fn with_a(
        a: Vec<f32>,
        [d_input, d_output]: [usize; 2],
        config: &LoraConfig,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let r = config.r;
        Self {
            lora_a: Param::from_data(TensorData::new(a, [d_input, r]), device),
            lora_b: Param::from_data(
                TensorData::new(vec![0f32; r * d_output], [r, d_output]),
                device,
            ),
            lora_r: None,
            scale: config.scale(),
            dropout: (config.lora_dropout > 0.0)
                .then(|| SeededDropout::new(config.lora_dropout, random)),
        }
    }

    /// `s (x A) B`.
    ///
    /// # Shapes
    ///
    /// - input: `[..., d_input]`
    /// - output: `[..., d_output]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_onto(input, None)
    }

    fn forward_onto<const D: usize>(&self, input: Tensor<D>, onto: Option<Tensor<D>>) -> Tensor<D> {
        let (a, b) = (self.lora_a.val(), self.lora_b.val());
        // Gradients are tracked only in training, which is when inputs are dropped. Methods that train one of the two
        // matrices at a time are training, too.
        let core = self.lora_r.as_ref().map(Param::val);
        let trains = |matrix: &Tensor<2>| matrix.is_require_grad();
        let training = trains(&a) || trains(&b) || core.as_ref().is_some_and(trains);
        let input = match &self.dropout {
            Some(dropout) if training => dropout.apply(input),
            _ => input,
        };
        // The scale is applied on the narrow side: r numbers per row instead of d_output.
        let hidden = linear(input, a, None, None);
        let hidden = match core {
            None => hidden,
            Some(core) => linear(hidden, core, None, None),
        };
        let hidden = hidden.mul_scalar(self.scale);
        linear(hidden, b, None, onto)
    }

    /// Whether inputs are dropped in training.
    pub fn has_dropout(&self) -> bool {
        self.dropout.is_some()
    }

    /// The dense update `s A B`, or `s A R B`, of shape `[d_input, d_output]`.
    pub fn delta(&self) -> Tensor<2> {
        let (a, b) = (self.lora_a.val(), self.lora_b.val());
        let a = match &self.lora_r {
            None => a,
            Some(core) => a.matmul(core.val()),
        };
        a.matmul(b).mul_scalar(self.scale)
    }
}

fn draw(init: Init, d_input: usize, r: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let normal = |deviation: f32, random: &mut ChaCha8Rng| {
        let normal = Normal::new(0.0, deviation).expect("a positive deviation");
        normal.sample_iter(random).take(d_input * r).collect()
    };
    match init {
        Init::Gaussian => normal(1.0 / r as f32, random),
        Init::GaussianSqrt => normal(1.0 / (r as f32).sqrt(), random),
        Init::KaimingUniform => {
            let bound = 1.0 / (d_input as f32).sqrt();
            let uniform = Uniform::new(-bound, bound).expect("a positive bound");
            uniform.sample_iter(random).take(d_input * r).collect()
        }
    }
}
