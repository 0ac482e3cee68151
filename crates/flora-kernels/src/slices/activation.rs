use rayon::prelude::*;

use super::exp;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;
const SLOPE: f32 = 1.702;

/// `x sigmoid(1.702 x)`.
pub(crate) fn quick_gelu(x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| forward(y, x));
    y
}

vectorized! {
    fn forward<'a>(y: &'a mut [f32], x: &'a [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x / (1.0 + exp(-SLOPE * x));
        }
    }
}

/// The gradient with respect to `x`, `dy s (1 + 1.702 x (1 - s))` with `s = sigmoid(1.702 x)`.
pub(crate) fn quick_gelu_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    let inputs = x.par_chunks(CHUNK).zip(dy.par_chunks(CHUNK));
    dx.par_chunks_mut(CHUNK).zip(inputs).for_each(|(dx, (x, dy))| backward(dx, x, dy));
    dx
}

vectorized! {
    fn backward<'a>(dx: &'a mut [f32], x: &'a [f32], dy: &'a [f32]) {
        for ((dx, &x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let s = 1.0 / (1.0 + exp(-SLOPE * x));
            *dx = dy * s * (1.0 + SLOPE * x * (1.0 - s));
        }
    }
}
