use pulp::Arch;
use rayon::prelude::*;

use super::{add_scaled, exp, sum};

/// What the heads of a batch look like; tensors are `[batch, length, heads * head_width]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) count: usize,
    pub(crate) width: usize,
    pub(crate) length: usize,
    pub(crate) is_causal: bool,
}

impl Heads {
    fn row_width(self) -> usize {
        self.count * self.width
    }

    /// Where the row of `position` for `head` begins and ends in one text or image.
    #[inline(always)]
    fn row(self, head: usize, position: usize) -> std::ops::Range<usize> {
        let start = position * self.row_width() + head * self.width;
        start..start + self.width
    }

    /// How many positions `position` sees.
    #[inline(always)]
    fn seen(self, position: usize) -> usize {
        if self.is_causal { position + 1 } else { self.length }
    }

    /// The weights of what `position` sees, into the front of `weights`.
    #[inline(always)]
    fn weigh(self, q: &[f32], k: &[f32], head: usize, position: usize, weights: &mut [f32]) {
        let scale = 1.0 / (self.width as f32).sqrt();
        let q = &q[self.row(head, position)];
        let mut most = f32::NEG_INFINITY;
        for (other, weight) in weights.iter_mut().enumerate() {
            *weight = sum(q, &k[self.row(head, other)], |q, k| q * k) * scale;
            most = most.max(*weight);
        }
        for weight in weights.iter_mut() {
            *weight = exp(*weight - most);
        }
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
    }
}

/// `softmax(q k^T / sqrt(head_width)) v`.
pub(crate) fn attention(q: &[f32], k: &[f32], v: &[f32], heads: Heads) -> Vec<f32> {
    let item = heads.length * heads.row_width();
    let mut y = vec![0.0; q.len()];
    let arch = Arch::new();
    let inputs = (q.par_chunks(item), k.par_chunks(item), v.par_chunks(item));
    (y.par_chunks_mut(item), inputs).into_par_iter().for_each(|(y, (q, k, v))| {
        arch.dispatch(|| forward(y, q, k, v, heads));
    });
    y
}

#[inline(always)]
fn forward(y: &mut [f32], q: &[f32], k: &[f32], v: &[f32], heads: Heads) {
    let mut weights = vec![0.0; heads.length];
    for head in 0..heads.count {
        for position in 0..heads.length {
            let weights = &mut weights[..heads.seen(position)];
            heads.weigh(q, k, head, position, weights);
            let y = &mut y[heads.row(head, position)];
            for (other, &weight) in weights.iter().enumerate() {
                add_scaled(y, weight, &v[heads.row(head, other)]);
            }
        }
    }
}

/// The gradients with respect to `q`, `k` and `v`. The weights are computed again: keeping them would
/// take more memory than the rest of the block.
pub(crate) fn attention_backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    dy: &[f32],
    heads: Heads,
) -> [Vec<f32>; 3] {
    let item = heads.length * heads.row_width();
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; q.len()]);
    let arch = Arch::new();
    let outputs = (dq.par_chunks_mut(item), dk.par_chunks_mut(item), dv.par_chunks_mut(item));
    let inputs = (q.par_chunks(item), k.par_chunks(item), v.par_chunks(item), dy.par_chunks(item));
    (outputs, inputs).into_par_iter().for_each(|((dq, dk, dv), (q, k, v, dy))| {
        arch.dispatch(|| backward([dq, dk, dv], [q, k, v], dy, heads));
    });
    [dq, dk, dv]
}

/// With `p` the weights of a position and `dp = dy v^T`: `ds = p (dp - sum(p dp)) / sqrt(head_width)`.
#[inline(always)]
fn backward([dq, dk, dv]: [&mut [f32]; 3], [q, k, v]: [&[f32]; 3], dy: &[f32], heads: Heads) {
    let scale = 1.0 / (heads.width as f32).sqrt();
    let (mut weights, mut slopes) = (vec![0.0; heads.length], vec![0.0; heads.length]);
    for head in 0..heads.count {
        for position in 0..heads.length {
            let seen = heads.seen(position);
            let (weights, slopes) = (&mut weights[..seen], &mut slopes[..seen]);
            heads.weigh(q, k, head, position, weights);
            let here = heads.row(head, position);
            let dy = &dy[here.clone()];
            for (other, slope) in slopes.iter_mut().enumerate() {
                *slope = sum(dy, &v[heads.row(head, other)], |dy, v| dy * v);
            }
            let mean = sum(weights, slopes, |p, dp| p * dp);
            for (other, (&weight, slope)) in weights.iter().zip(slopes).enumerate() {
                let there = heads.row(head, other);
                let slope = weight * (*slope - mean) * scale;
                add_scaled(&mut dv[there.clone()], weight, dy);
                add_scaled(&mut dk[there.clone()], slope, &q[here.clone()]);
                add_scaled(&mut dq[here.clone()], slope, &k[there]);
            }
        }
    }
}
