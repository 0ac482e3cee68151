//! The slices that flora-kernels tests through burn, here beside their formulas in f64. Lengths are no multiples of
//! vectors, blocks and threads' shares; a value that is left unwritten differs.

use crate::slices::activation::{quick_gelu, quick_gelu_backward};
use crate::slices::adam::{Step, adam};
use crate::slices::attention::{Heads, attention, attention_backward};
use crate::slices::norm::{layer_norm, layer_norm_backward};

/// `count` numbers between -2 and 2, others for each `seed`.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

#[track_caller]
fn near(found: &[f32], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (place, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 1e-4 * (1.0 + expected.abs()), "{place}: {found} instead of {expected}");
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-1.702 * x).exp())
}

#[test]
fn activations() {
    for length in [0, 1, 15, 17, (1 << 14) + 3] {
        let (x, dy) = (numbers(length, 1), numbers(length, 2));
        near(&quick_gelu(&x), x.iter().map(|&x| f64::from(x) * sigmoid(x.into())));
        let slope = |x: f64| sigmoid(x) * (1.0 + 1.702 * x * (1.0 - sigmoid(x)));
        let expected = x.iter().zip(&dy).map(|(&x, &dy)| f64::from(dy) * slope(x.into()));
        near(&quick_gelu_backward(&x, &dy), expected);
    }
}

#[test]
fn steps() {
    for length in [0, 1, 19, (1 << 14) + 5] {
        let (p, g) = (numbers(length, 3), numbers(length, 4));
        let (mut m, mut v) = (vec![0.5; length], vec![0.25; length]);
        let step = Step {
            penalty: 0.1,
            beta_1: 0.9,
            beta_2: 0.99,
            scale: 2.0,
            epsilon: 1e-3,
            learning_rate: 0.1,
        };
        let updated = adam(&p, &g, [&mut m, &mut v], step);
        let gradient = |at: usize| f64::from(p[at]) * 0.1 + f64::from(g[at]);
        let first = |at| 0.45 + 0.1 * gradient(at);
        let second = |at| 0.2475 + 0.01 * gradient(at).powi(2);
        near(&m, (0..length).map(first));
        near(&v, (0..length).map(second));
        let moved = |at| f64::from(p[at]) - 0.1 * first(at) * 2.0 / (second(at).sqrt() + 1e-3);
        near(&updated, (0..length).map(moved));
    }
}

#[test]
fn norms() {
    for (rows, width) in [(1, 1), (3, 17), (67, 33), (130, 5)] {
        let (x, dy) = (numbers(rows * width, 5), numbers(rows * width, 6));
        let (gamma, beta) = (numbers(width, 7), numbers(width, 8));
        let epsilon = 0.01;
        let count = width as f64;
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        let (mut dgamma, mut dbeta) = (vec![0.0; width], vec![0.0; width]);
        for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + epsilon).sqrt();
            let z: Vec<f64> = x.iter().map(|&x| (f64::from(x) - mean) * scale).collect();
            let g: Vec<f64> =
                dy.iter().zip(&gamma).map(|(&dy, &gamma)| f64::from(dy * gamma)).collect();
            let mean_g = g.iter().sum::<f64>() / count;
            let mean_gz = g.iter().zip(&z).map(|(g, z)| g * z).sum::<f64>() / count;
            for at in 0..width {
                y.push(z[at] * f64::from(gamma[at]) + f64::from(beta[at]));
                dx.push((g[at] - mean_g - z[at] * mean_gz) * scale);
                dgamma[at] += f64::from(dy[at]) * z[at];
                dbeta[at] += f64::from(dy[at]);
            }
        }
        near(&layer_norm(&x, &gamma, &beta, epsilon as f32), y);
        let gradients = layer_norm_backward(&x, &gamma, &dy, epsilon as f32);
        near(&gradients.x, dx);
        near(&gradients.gamma, dgamma);
        near(&gradients.beta, dbeta);
    }
}

#[test]
fn attentions() {
    for (items, count, width, length) in [(1, 1, 1, 1), (3, 2, 5, 17), (2, 3, 67, 50)] {
        for is_causal in [false, true] {
            let heads = Heads { count, width, length, is_causal };
            let size = items * length * count * width;
            let [q, k, v, dy] = [9, 10, 11, 12].map(|seed| numbers(size, seed));
            let [mut y, mut dq, mut dk, mut dv] = [(); 4].map(|()| vec![0.0_f64; size]);
            let scale = 1.0 / (width as f64).sqrt();
            for (item, head) in (0..items).flat_map(|item| (0..count).map(move |head| (item, head)))
            {
                let at = |row: usize, column: usize| {
                    ((item * length + row) * count + head) * width + column
                };
                let dot = |a: &[f32], row: usize, b: &[f32], other: usize| -> f64 {
                    (0..width).map(|c| f64::from(a[at(row, c)]) * f64::from(b[at(other, c)])).sum()
                };
                for row in 0..length {
                    let seen = if is_causal { row + 1 } else { length };
                    let scores: Vec<f64> =
                        (0..seen).map(|other| (dot(&q, row, &k, other) * scale).exp()).collect();
                    let total: f64 = scores.iter().sum();
                    let weights: Vec<f64> = scores.iter().map(|score| score / total).collect();
                    let slopes: Vec<f64> =
                        (0..seen).map(|other| dot(&dy, row, &v, other)).collect();
                    let mean: f64 =
                        weights.iter().zip(&slopes).map(|(weight, slope)| weight * slope).sum();
                    for (other, column) in
                        (0..seen).flat_map(|other| (0..width).map(move |c| (other, c)))
                    {
                        let slope = weights[other] * (slopes[other] - mean) * scale;
                        y[at(row, column)] += weights[other] * f64::from(v[at(other, column)]);
                        dv[at(other, column)] += weights[other] * f64::from(dy[at(row, column)]);
                        dq[at(row, column)] += slope * f64::from(k[at(other, column)]);
                        dk[at(other, column)] += slope * f64::from(q[at(row, column)]);
                    }
                }
            }
            near(&attention(&q, &k, &v, heads), y);
            let [found_q, found_k, found_v] = attention_backward(&q, &k, &v, &dy, heads);
            near(&found_q, dq);
            near(&found_k, dk);
            near(&found_v, dv);
        }
    }
}
