//! The Gaussian mechanism, exactly (Balle and Wang 2018, <https://arxiv.org/abs/1805.06530>).

use crate::normal::ln_above;

/// `delta = Phi(-e / m + m / 2) - exp(e) Phi(-e / m - m / 2)` with `m = sqrt(rounds) / noise`.
fn delta(epsilon: f64, m: f64) -> f64 {
    let first = ln_above(epsilon / m - m / 2.0);
    let second = epsilon + ln_above(epsilon / m + m / 2.0);
    // The second is the smaller one: subtracting logarithms keeps its digits.
    first.exp() * -(second - first).exp_m1()
}

/// The epsilon of this many rounds with full participation.
pub(crate) fn epsilon(noise: f64, rounds: usize, delta_wanted: f64) -> f64 {
    let m = (rounds as f64).sqrt() / noise;
    if delta(0.0, m) <= delta_wanted {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while delta(high, m) > delta_wanted {
        high *= 2.0;
    }
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        match delta(middle, m) > delta_wanted {
            true => low = middle,
            false => high = middle,
        }
        if middle == low && middle == high {
            break;
        }
    }
    high
}
