//! The last block of an encoder, when only one state of each sequence is needed.
//!
//! One query attends to all positions, but their keys and values are never computed: with `W` the weight of the keys'
//! projection and `x` the states, `q . (x W) = (q W^T) . x`, and a weighted sum of values is the projection of the
//! weighted sum of states. An image of ViT-B/32 takes 2.1 million multiply-adds instead of 59. The keys' bias adds the
//! same to all positions, and so changes no softmax.

use burn::tensor::{Int, Tensor, activation::softmax};
use flora_lora::LoraLinear;

use super::{EncoderLayer, Sequences, pick, prefix::States};

impl EncoderLayer {
    /// The final states at `rows`, one of each sequence, `[batch, width]`; `x` is the block's input, `[batch, length,
    /// width]`.
    pub(super) fn finish_one(&self, x: Tensor<3>, rows: Tensor<1, Int>) -> Tensor<2> {
        // With dropout, keys and values depend on different masks.
        if self.has_dropout() {
            return self.finish_rows(States::Input(x), &Sequences::apart(false), rows);
        }
        let seen = self.layer_norm1.forward(x.clone());
        let wanted = pick(seen.clone(), rows.clone());
        let mixed = self.look(wanted, seen);
        self.feed_forward(self.project(pick(x, rows), mixed))
    }

    /// The attention of `wanted`, `[batch, width]`, to all of `seen`, `[batch, length, width]`, before its output
    /// projection.
    fn look(&self, wanted: Tensor<2>, seen: Tensor<3>) -> Tensor<2> {
        let attention = &self.self_attn;
        let [batch, _, width] = seen.dims();
        let (heads, head) = (attention.heads, width / attention.heads);
        // Head by head, `[heads, width, head]`.
        let weight = |layer| whole_weight(layer).reshape([width, heads, head]).swap_dims(0, 1);

        let q = attention.q_proj.forward(wanted).div_scalar((head as f64).sqrt());
        let q = q.reshape([batch, heads, head]).swap_dims(0, 1);
        let q: Tensor<3> = q.matmul(weight(&attention.k_proj).swap_dims(1, 2));
        let scores = q.swap_dims(0, 1).matmul(seen.clone().swap_dims(1, 2));
        let states = softmax(scores, 2).matmul(seen);
        let values = states.swap_dims(0, 1).matmul(weight(&attention.v_proj));
        let values = values.swap_dims(0, 1).reshape([batch, width]);
        match &attention.v_proj.bias {
            Some(bias) => values + bias.val().unsqueeze(),
            None => values,
        }
    }
}

/// A layer's weight including its adapter, `[d_input, d_output]`.
fn whole_weight(layer: &LoraLinear) -> Tensor<2> {
    let weight = layer.weight.val();
    match &layer.lora {
        Some(lora) => weight + lora.delta(),
        None => weight,
    }
}
