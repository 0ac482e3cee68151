//! An encoder in two parts, for sequences of which only some final states are needed, independent of the states after
//! them.
//!
//! A [`Prefix`](super::Prefix) holds as much as can be computed in advance. A cut holds less, because it is stored for
//! many sequences: one number per position and channel, and of the last block only the data for the wanted states.

use burn::tensor::{Int, Tensor};

use super::prefix::States;
use super::{Encoder, Sequences, pick};

/// The position at which an encoder is cut, below its first adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// Before this block.
    Before(usize),
    /// In this block, between attention and feed-forward.
    Attended(usize),
    /// In the last block, before the output projection of its attention: the wanted states of its input, and of the
    /// attention.
    LastMixed,
    /// In the last block, between attention and feed-forward: the wanted states.
    LastAttended,
    /// After the last block: no layer has an adapter.
    Above,
}

impl Encoder {
    /// The cut below the first adapter.
    pub(crate) fn cut(&self) -> Cut {
        let Some((block, layer)) = self.first_adapted() else { return Cut::Above };
        let is_last = block + 1 == self.layers.len();
        let projects = layer.self_attn.out_proj.lora.is_some();
        match (layer.adapts_attention(), projects, is_last) {
            (true, _, _) | (false, true, false) => Cut::Before(block),
            (false, true, true) => Cut::LastMixed,
            (false, false, false) => Cut::Attended(block),
            (false, false, true) => Cut::LastAttended,
        }
    }

    /// The states at the cut.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, length, width]`
    /// - rows: the wanted one of each sequence, among `batch * length`
    /// - output: `[batch, numbers]`
    pub(crate) fn below(&self, x: Tensor<3>, rows: Tensor<1, Int>, cut: Cut) -> Tensor<2> {
        let apart = Sequences::apart(false);
        let through = |x: Tensor<3>, blocks: usize| {
            self.layers[..blocks].iter().fold(x, |x, layer| layer.pass(x, &apart))
        };
        let flat = |x: Tensor<3>| {
            let [batch, length, width] = x.dims();
            x.reshape([batch, length * width])
        };
        let last = self.layers.len().saturating_sub(1);
        match cut {
            Cut::Before(block) => flat(through(x, block)),
            Cut::Attended(block) => {
                let x = through(x, block);
                let mixed = self.layers[block].mix(x.clone(), &apart);
                flat(self.layers[block].project(x, mixed))
            }
            Cut::LastMixed => {
                let x = through(x, last);
                let mixed = self.layers[last].mix(x.clone(), &apart);
                Tensor::cat(vec![pick(x, rows.clone()), pick(mixed, rows)], 1)
            }
            Cut::LastAttended => {
                let x = through(x, last);
                let mixed = self.layers[last].mix(x.clone(), &apart);
                self.layers[last].project(pick(x, rows.clone()), pick(mixed, rows))
            }
            Cut::Above => self.forward(x, false, rows),
        }
    }

    /// The rest of [`Encoder::forward`], `[batch, width]`, from the states at the cut, for sequences of this length.
    pub(crate) fn above(
        &self,
        below: Tensor<2>,
        rows: Tensor<1, Int>,
        length: usize,
        cut: Cut,
    ) -> Tensor<2> {
        let [batch, numbers] = below.dims();
        let whole = |x: Tensor<2>| x.reshape([batch, length, numbers / length]);
        let (block, mut states) = match cut {
            Cut::Before(block) => (block, States::Input(whole(below))),
            Cut::Attended(block) => (block, States::Attended(whole(below))),
            Cut::LastMixed => {
                let last = self.layers.last().expect("it has an adapter");
                let mut halves = below.chunk(2, 1).into_iter();
                let (x, mixed) = (halves.next(), halves.next());
                let (x, mixed) = x.zip(mixed).expect("two halves");
                return last.feed_forward(last.project(x, mixed));
            }
            Cut::LastAttended => {
                return self.layers.last().expect("it has an adapter").feed_forward(below);
            }
            Cut::Above => return below,
        };
        let (last, before) = self.layers[block..].split_last().expect("it has an adapter");
        let apart = Sequences::apart(false);
        for layer in before {
            states = States::Input(layer.finish(states, &apart));
        }
        match states {
            States::Input(x) => last.finish_one(x, rows),
            states => last.finish_rows(states, &apart, rows),
        }
    }
}
