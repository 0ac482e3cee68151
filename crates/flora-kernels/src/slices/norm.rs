use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{sum, written};

/// Rows per thread at a time: the gradients of gamma and beta are summed in these blocks.
const ROWS: usize = 64;

/// Gradients of a layer norm.
pub(crate) struct Gradients {
    pub(crate) x: Vec<f32>,
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

/// The mean and `1 / sqrt(variance + epsilon)` of a row.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row, row, |x, _| x) / count;
    let variance = sum(row, row, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, row by row.
#[allow(unsafe_code)]
pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gamma.len();
    assert!(beta.len() == width && x.len().is_multiple_of(width));
    let write = |y: &mut [MaybeUninit<f32>]| {
        y.par_chunks_mut(ROWS * width)
            .zip(x.par_chunks(ROWS * width))
            .for_each(|(y, x)| block_forward(y, x, gamma, beta, epsilon));
    };
    // SAFETY: `block_forward` writes all rows that it gets, whose width is that of gamma and beta.
    unsafe { written(x.len(), write) }
}

vectorized! {
    fn block_forward<'a>(
        y: &'a mut [MaybeUninit<f32>],
        x: &'a [f32],
        gamma: &'a [f32],
        beta: &'a [f32],
        epsilon: f32,
    ) {
        let width = gamma.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                y.write((x - mean) * scale * gamma + beta);
            }
        }
    }
}

/// The gradients of [`layer_norm`], for the gradient `dy` of its output.
#[allow(unsafe_code)]
pub(crate) fn layer_norm_backward(x: &[f32], gamma: &[f32], dy: &[f32], epsilon: f32) -> Gradients {
    let width = gamma.len();
    assert!(dy.len() == x.len() && x.len().is_multiple_of(width));
    let inputs = x.par_chunks(ROWS * width).zip(dy.par_chunks(ROWS * width));
    let mut parts = Vec::new();
    let write = |dx: &mut [MaybeUninit<f32>]| {
        let blocks = dx.par_chunks_mut(ROWS * width).zip(inputs).map(|(dx, (x, dy))| {
            let [mut dgamma, mut dbeta, mut g] = [(); 3].map(|()| vec![0.0; width]);
            block_backward(dx, x, gamma, dy, epsilon, &mut g, [&mut dgamma, &mut dbeta]);
            (dgamma, dbeta)
        });
        parts = blocks.collect();
    };
    // SAFETY: `block_backward` writes all rows that it gets, whose width is that of gamma.
    let dx = unsafe { written(x.len(), write) };
    let mut gradients = Gradients { x: dx, gamma: vec![0.0; width], beta: vec![0.0; width] };
    // In the order of the rows, so that the result does not depend on threads.
    for (dgamma, dbeta) in parts {
        gradients.gamma.iter_mut().zip(dgamma).for_each(|(sum, part)| *sum += part);
        gradients.beta.iter_mut().zip(dbeta).for_each(|(sum, part)| *sum += part);
    }
    gradients
}

// With `z` the normalised row and `g = dy gamma`: `dx = (g - mean(g) - z mean(g z)) scale`.
vectorized! {
    fn block_backward<'a>(
        dx: &'a mut [MaybeUninit<f32>],
        x: &'a [f32],
        gamma: &'a [f32],
        dy: &'a [f32],
        epsilon: f32,
        row_g: &'a mut [f32],
        sums: [&'a mut [f32]; 2],
    ) {
        let [dgamma, dbeta] = sums;
        let width = gamma.len();
        let count = width as f32;
        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
        for ((dx, x), dy) in rows {
            let (mean, scale) = moments(x, epsilon);
            for ((sum, dy), x) in dgamma.iter_mut().zip(dy).zip(x) {
                *sum += dy * ((x - mean) * scale);
            }
            for (sum, dy) in dbeta.iter_mut().zip(dy) {
                *sum += dy;
            }
            for ((g, dy), gamma) in row_g.iter_mut().zip(dy).zip(gamma) {
                *g = dy * gamma;
            }
            let mean_g = sum(row_g, x, |g, _| g) / count;
            let mean_gz = sum(row_g, x, |g, x| g * ((x - mean) * scale)) / count;
            for ((dx, g), x) in dx.iter_mut().zip(&*row_g).zip(x) {
                dx.write((g - mean_g - (x - mean) * scale * mean_gz) * scale);
            }
        }
    }
}
