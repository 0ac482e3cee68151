//! An encoder in two parts: the part below all trained layers, and the rest.

use burn::tensor::{Device, Int, Tensor};
use flora_lora::LoraLinear;

use super::{Attention, Encoder, EncoderLayer, Sequences, pick};

/// The states of a batch in the middle of an encoder.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    /// The index of the block.
    block: usize,
    states: States,
}

/// The position within the block.
#[derive(Debug, Clone)]
pub(super) enum States {
    /// Before it.
    Input(Tensor<3>),
    /// Its input, and its attention before the output projection.
    Mixed(Tensor<3>, Box<Tensor<3>>),
    /// Between attention and feed-forward.
    Attended(Tensor<3>),
}

impl Prefix {
    /// The states before the first block.
    pub(crate) fn start(x: Tensor<3>) -> Self {
        Self { block: 0, states: States::Input(x) }
    }

    /// The first `length` states of these rows, laid out as `sequences`, with autodiff if `device` has it, as the
    /// sequences do. The rows themselves have none.
    pub(crate) fn take(
        &self,
        rows: Tensor<1, Int>,
        length: usize,
        sequences: &Sequences,
        device: &Device,
    ) -> Self {
        self.map(|states| {
            let taken = states.clone().select(0, rows.clone()).narrow(1, 0, length);
            sequences.gather(if device.is_autodiff() { Tensor::from_inner(taken) } else { taken })
        })
    }

    fn map(&self, of: impl Fn(&Tensor<3>) -> Tensor<3>) -> Self {
        let states = match &self.states {
            States::Input(x) => States::Input(of(x)),
            States::Mixed(x, mixed) => States::Mixed(of(x), of(mixed).into()),
            States::Attended(x) => States::Attended(of(x)),
        };
        Self { block: self.block, states }
    }
}

impl Encoder {
    /// The part of [`Encoder::forward`] below the first adapter, without autodiff.
    pub(crate) fn prefix(&self, x: Tensor<3>, is_causal: bool) -> Prefix {
        let block = self.first_adapted().map_or(self.layers.len(), |(block, _)| block);
        let x = self.layers[..block].iter().fold(x, |x, layer| layer.forward(x, is_causal));
        let states = match self.layers.get(block) {
            Some(layer) if !layer.adapts_attention() => {
                let mixed = layer.mix(x.clone(), &Sequences::apart(is_causal));
                match layer.self_attn.out_proj.lora {
                    Some(_) => States::Mixed(x, mixed.into()),
                    None => States::Attended(layer.project(x, mixed)),
                }
            }
            _ => States::Input(x),
        };
        Prefix { block, states }.map(|states| match states.device().is_autodiff() {
            true => states.clone().inner(),
            false => states.clone(),
        })
    }

    /// The layers below the first adapter: all layers if there is none.
    pub(crate) fn frozen(&mut self) -> Vec<&mut LoraLinear> {
        let mut frozen = Vec::with_capacity(6 * self.layers.len());
        for layer in &mut self.layers {
            let (layers, is_whole) = layer.frozen();
            frozen.extend(layers);
            if !is_whole {
                break;
            }
        }
        frozen
    }

    /// The first block with an adapter, and its index.
    pub(super) fn first_adapted(&self) -> Option<(usize, &EncoderLayer)> {
        self.layers.iter().enumerate().find(|(_, layer)| layer.is_adapted())
    }

    /// The rest of [`Encoder::forward`].
    pub(crate) fn resume(
        &self,
        prefix: Prefix,
        sequences: &Sequences,
        rows: Tensor<1, Int>,
    ) -> Tensor<2> {
        let Prefix { block, mut states } = prefix;
        let Some((last, before)) = self.layers[block..].split_last() else {
            let States::Input(x) = states else { unreachable!("in no block") };
            return pick(x, rows);
        };
        for layer in before {
            states = States::Input(layer.finish(states, sequences));
        }
        last.finish_rows(states, sequences, rows)
    }
}

impl EncoderLayer {
    /// The rest of [`EncoderLayer::forward`].
    pub(super) fn finish(&self, states: States, sequences: &Sequences) -> Tensor<3> {
        match states {
            States::Input(x) => self.pass(x, sequences),
            States::Mixed(x, mixed) => self.feed_forward(self.project(x, *mixed)),
            States::Attended(x) => self.feed_forward(x),
        }
    }

    /// [`EncoderLayer::finish`] for some rows only, `[rows, width]`.
    pub(super) fn finish_rows(
        &self,
        states: States,
        sequences: &Sequences,
        rows: Tensor<1, Int>,
    ) -> Tensor<2> {
        let (x, mixed) = match states {
            States::Input(x) => (x.clone(), self.mix(x, sequences)),
            States::Mixed(x, mixed) => (x, *mixed),
            States::Attended(x) => return self.feed_forward(pick(x, rows)),
        };
        self.feed_forward(self.project(pick(x, rows.clone()), pick(mixed, rows)))
    }

    /// Whether an adapter has dropout, so that in training equal positions have different states.
    pub(super) fn has_dropout(&self) -> bool {
        let mut adapters = self.linears().into_iter().filter_map(|layer| layer.lora.as_ref());
        adapters.any(|adapter| adapter.has_dropout())
    }

    fn is_adapted(&self) -> bool {
        self.linears().iter().any(|layer| layer.lora.is_some())
    }

    /// Whether queries, keys or values are adapted.
    pub(super) fn adapts_attention(&self) -> bool {
        let [q, k, v, ..] = self.linears();
        [q, k, v].iter().any(|layer| layer.lora.is_some())
    }

    /// The layers of this block before its first adapter; also whether the block has none.
    fn frozen(&mut self) -> (Vec<&mut LoraLinear>, bool) {
        let adapts_attention = self.adapts_attention();
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        let Attention { q_proj, k_proj, v_proj, out_proj, .. } = attention;
        let adapts_mlp = mlp.fc1.lora.is_some() || mlp.fc2.lora.is_some();
        let (projects, fc1, fc2) = (out_proj.lora.is_some(), &mut mlp.fc1, &mut mlp.fc2);
        match (adapts_attention, projects, adapts_mlp) {
            (true, _, _) => (Vec::new(), false),
            (false, true, _) => (vec![q_proj, k_proj, v_proj], false),
            (false, false, true) => (vec![q_proj, k_proj, v_proj, out_proj], false),
            (false, false, false) => (vec![q_proj, k_proj, v_proj, out_proj, fc1, fc2], true),
        }
    }

    fn linears(&self) -> [&LoraLinear; 6] {
        let (attention, mlp) = (&self.self_attn, &self.mlp);
        let Attention { q_proj, k_proj, v_proj, out_proj, .. } = attention;
        [q_proj, k_proj, v_proj, out_proj, &mlp.fc1, &mlp.fc2]
    }
}
