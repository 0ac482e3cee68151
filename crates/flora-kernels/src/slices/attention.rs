use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{exp, written};

/// Key positions whose scores are computed side by side.
const BLOCK: usize = 16;
/// Query positions whose scores are computed together, so that their sums are independent.
const ROWS: usize = 4;
/// Columns that are mixed together: as many as the registers hold.
const COLUMNS: usize = 64;

/// The shape of a batch's heads; tensors are `[batch, length, heads * head_width]`.
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

    /// The row of `position` for `head` in one text or image.
    #[inline(always)]
    fn row(self, x: &[f32], head: usize, position: usize) -> &[f32] {
        &x[position * self.row_width() + head * self.width..][..self.width]
    }

    #[inline(always)]
    fn row_mut<T>(self, x: &mut [T], head: usize, position: usize) -> &mut [T] {
        &mut x[position * self.row_width() + head * self.width..][..self.width]
    }

    /// The number of positions that `position` attends to.
    #[inline(always)]
    fn seen(self, position: usize) -> usize {
        if self.is_causal { position + 1 } else { self.length }
    }

    /// Values per text or image.
    fn item(self) -> usize {
        self.length * self.row_width()
    }

    /// Checks that tensors have one shape, and consist of whole texts or images.
    fn check<const N: usize>(self, tensors: [&[f32]; N]) {
        let length = tensors[0].len();
        assert!(tensors.iter().all(|tensor| tensor.len() == length), "one shape");
        assert!(length.is_multiple_of(self.item()), "whole items");
    }

    /// Columns of a matrix of scores, rounded up to whole blocks.
    fn padded(self) -> usize {
        self.length.next_multiple_of(BLOCK)
    }

    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Buffers for the computation of one head.
struct Scratch {
    /// One side of the products, transposed: `[head_width, padded]`.
    turned: Vec<f32>,
    /// `[length, padded]`.
    weights: Vec<f32>,
    /// `[length, padded]`.
    slopes: Vec<f32>,
    /// One position's column of a matrix of scores, `[length]`.
    column: Vec<f32>,
}

impl Scratch {
    fn new(heads: Heads) -> Self {
        let scores = || vec![0.0; heads.length * heads.padded()];
        Self {
            turned: vec![0.0; heads.width * heads.padded()],
            weights: scores(),
            slopes: scores(),
            column: vec![0.0; heads.length],
        }
    }

    /// The softmax weights of every position of a head; the weights of masked positions are undefined.
    #[inline(always)]
    fn weigh(&mut self, q: &[f32], k: &[f32], head: usize, heads: Heads) {
        turn(&mut self.turned, k, head, heads);
        products(&mut self.weights, q, &self.turned, head, heads);
        for (position, row) in self.weights.chunks_exact_mut(heads.padded()).enumerate() {
            let row = &mut row[..heads.seen(position)];
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for weight in row.iter_mut() {
                *weight = exp((*weight - most) * heads.scale());
            }
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= total);
        }
    }
}

/// Transposes a head of `x`; columns beyond its length stay zero.
#[inline(always)]
fn turn(turned: &mut [f32], x: &[f32], head: usize, heads: Heads) {
    for position in 0..heads.length {
        for (column, &value) in heads.row(x, head, position).iter().enumerate() {
            turned[column * heads.padded() + position] = value;
        }
    }
}

/// The product of every row of a head of `x` with every column of `turned`.
#[inline(always)]
fn products(out: &mut [f32], x: &[f32], turned: &[f32], head: usize, heads: Heads) {
    let padded = heads.padded();
    let mut blocks = out.chunks_exact_mut(ROWS * padded);
    let mut position = 0;
    for out in &mut blocks {
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| heads.row(x, head, position + row));
        products_of(out, rows, turned, padded);
        position += ROWS;
    }
    for out in blocks.into_remainder().chunks_exact_mut(padded) {
        products_of(out, [heads.row(x, head, position)], turned, padded);
        position += 1;
    }
}

#[inline(always)]
fn products_of<const N: usize>(out: &mut [f32], rows: [&[f32]; N], turned: &[f32], padded: usize) {
    for start in (0..padded).step_by(BLOCK) {
        let mut sums = [[0.0f32; BLOCK]; N];
        for (column, line) in turned.chunks_exact(padded).enumerate() {
            let line: &[f32; BLOCK] = line[start..start + BLOCK].try_into().expect("a block");
            for row in 0..N {
                let factor = rows[row][column];
                for lane in 0..BLOCK {
                    sums[row][lane] = factor.mul_add(line[lane], sums[row][lane]);
                }
            }
        }
        for row in 0..N {
            out[row * padded + start..][..BLOCK].copy_from_slice(&sums[row]);
        }
    }
}

/// The sum of the rows `first..` of a head of `x`, each times its weight.
#[inline(always)]
fn mix(
    out: &mut [MaybeUninit<f32>],
    weights: &[f32],
    x: &[f32],
    head: usize,
    first: usize,
    heads: Heads,
) {
    let mut start = 0;
    while start + COLUMNS <= out.len() {
        mix_columns::<COLUMNS>(&mut out[start..], weights, x, start, head, first, heads);
        start += COLUMNS;
    }
    while start + BLOCK <= out.len() {
        mix_columns::<BLOCK>(&mut out[start..], weights, x, start, head, first, heads);
        start += BLOCK;
    }
    while start < out.len() {
        mix_columns::<1>(&mut out[start..], weights, x, start, head, first, heads);
        start += 1;
    }
}

#[inline(always)]
fn mix_columns<const N: usize>(
    out: &mut [MaybeUninit<f32>],
    weights: &[f32],
    x: &[f32],
    start: usize,
    head: usize,
    first: usize,
    heads: Heads,
) {
    let mut sums = [0.0f32; N];
    for (other, &weight) in weights.iter().enumerate() {
        let row = &heads.row(x, head, first + other)[start..];
        let row: &[f32; N] = row[..N].try_into().expect("as many columns");
        for lane in 0..N {
            sums[lane] = weight.mul_add(row[lane], sums[lane]);
        }
    }
    out[..N].write_copy_of_slice(&sums);
}

/// `softmax(q k^T / sqrt(head_width)) v`.
#[allow(unsafe_code)]
pub(crate) fn attention(q: &[f32], k: &[f32], v: &[f32], heads: Heads) -> Vec<f32> {
    let item = heads.item();
    heads.check([q, k, v]);
    let write = |y: &mut [MaybeUninit<f32>]| {
        let inputs = (q.par_chunks(item), k.par_chunks(item), v.par_chunks(item));
        (y.par_chunks_mut(item), inputs).into_par_iter().for_each_init(
            || Scratch::new(heads),
            |scratch, (y, (q, k, v))| forward(y, q, k, v, heads, scratch),
        );
    };
    // SAFETY: `forward` writes every position of every head of the items that it gets.
    unsafe { written(q.len(), write) }
}

vectorized! {
    fn forward<'a>(y: &'a mut [MaybeUninit<f32>], q: &'a [f32], k: &'a [f32], v: &'a [f32], heads: Heads, scratch: &'a mut Scratch) {
        for head in 0..heads.count {
            scratch.weigh(q, k, head, heads);
            for (position, weights) in scratch.weights.chunks_exact(heads.padded()).enumerate() {
                let weights = &weights[..heads.seen(position)];
                mix(heads.row_mut(y, head, position), weights, v, head, 0, heads);
            }
        }
    }
}

/// The gradients with respect to `q`, `k` and `v`. The weights are recomputed: storing them would take more memory than
/// the rest of the block.
#[allow(unsafe_code)]
pub(crate) fn attention_backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    dy: &[f32],
    heads: Heads,
) -> [Vec<f32>; 3] {
    let item = heads.item();
    heads.check([q, k, v]);
    heads.check([q, dy]);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| Vec::with_capacity(q.len()));
    let [to_q, to_k, to_v] =
        [&mut dq, &mut dk, &mut dv].map(|values| &mut values.spare_capacity_mut()[..q.len()]);
    let outputs = (to_q.par_chunks_mut(item), to_k.par_chunks_mut(item), to_v.par_chunks_mut(item));
    let inputs = (q.par_chunks(item), k.par_chunks(item), v.par_chunks(item), dy.par_chunks(item));
    (outputs, inputs).into_par_iter().for_each_init(
        || Scratch::new(heads),
        |scratch, ((dq, dk, dv), (q, k, v, dy))| {
            backward([dq, dk, dv], [q, k, v], dy, heads, scratch);
        },
    );
    [dq, dk, dv].map(|mut values| {
        // SAFETY: `backward` wrote every position of every head of all three.
        unsafe { values.set_len(q.len()) };
        values
    })
}

// With `p` the weights of a position and `dp = dy v^T`: `ds = p (dp - sum(p dp)) / sqrt(head_width)`.
vectorized! {
    fn backward<'a>(
        outputs: [&'a mut [MaybeUninit<f32>]; 3],
        inputs: [&'a [f32]; 3],
        dy: &'a [f32],
        heads: Heads,
        scratch: &'a mut Scratch,
    ) {
        let ([dq, dk, dv], [q, k, v]) = (outputs, inputs);
        let padded = heads.padded();
        for head in 0..heads.count {
            scratch.weigh(q, k, head, heads);
            turn(&mut scratch.turned, v, head, heads);
            products(&mut scratch.slopes, dy, &scratch.turned, head, heads);
            let rows = scratch.slopes.chunks_exact_mut(padded);
            for (position, (slopes, weights)) in
                rows.zip(scratch.weights.chunks_exact(padded)).enumerate()
            {
                let seen = heads.seen(position);
                let (slopes, weights) = (&mut slopes[..seen], &weights[..seen]);
                let mean: f32 = slopes.iter().zip(weights).map(|(slope, weight)| slope * weight).sum();
                for (slope, weight) in slopes.iter_mut().zip(weights) {
                    *slope = weight * (*slope - mean) * heads.scale();
                }
                mix(heads.row_mut(dq, head, position), slopes, k, head, 0, heads);
            }
            for position in 0..heads.length {
                // The positions that attend to this one.
                let first = if heads.is_causal { position } else { 0 };
                let column = &mut scratch.column[..heads.length - first];
                let sides = [(&scratch.slopes, &mut *dk, q), (&scratch.weights, &mut *dv, dy)];
                for (matrix, out, x) in sides {
                    for (place, value) in column.iter_mut().enumerate() {
                        *value = matrix[(first + place) * padded + position];
                    }
                    mix(heads.row_mut(out, head, position), column, x, head, first, heads);
                }
            }
        }
    }
}
