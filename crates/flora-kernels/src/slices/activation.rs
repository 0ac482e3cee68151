use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{exp, written};

/// Elements per thread at a time.
const CHUNK: usize = 1 << 14;
const SLOPE: f32 = 1.702;

/// `x sigmoid(1.702 x)`.
#[inline(always)]
pub(super) fn quick_gelu_of(x: f32) -> f32 {
    x / (1.0 + exp(-SLOPE * x))
}

/// [`quick_gelu_of`] each value.
#[allow(unsafe_code)]
pub(crate) fn quick_gelu(x: &[f32]) -> Vec<f32> {
    let write = |y: &mut [MaybeUninit<f32>]| {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| forward(y, x));
    };
    // SAFETY: `forward` writes as many values as `x` has.
    unsafe { written(x.len(), write) }
}

vectorized! {
    fn forward<'a>(y: &'a mut [MaybeUninit<f32>], x: &'a [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            y.write(quick_gelu_of(x));
        }
    }
}

/// The gradient with respect to `x`, `dy s (1 + 1.702 x (1 - s))` with `s = sigmoid(1.702 x)`.
#[allow(unsafe_code)]
pub(crate) fn quick_gelu_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), dy.len());
    let write = |dx: &mut [MaybeUninit<f32>]| {
        let inputs = x.par_chunks(CHUNK).zip(dy.par_chunks(CHUNK));
        dx.par_chunks_mut(CHUNK).zip(inputs).for_each(|(dx, (x, dy))| backward(dx, x, dy));
    };
    // SAFETY: `backward` writes as many values as `x` and `dy` have.
    unsafe { written(x.len(), write) }
}

vectorized! {
    fn backward<'a>(dx: &'a mut [MaybeUninit<f32>], x: &'a [f32], dy: &'a [f32]) {
        for ((dx, &x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let s = 1.0 / (1.0 + exp(-SLOPE * x));
            dx.write(dy * s * (1.0 + SLOPE * x * (1.0 - s)));
        }
    }
}
