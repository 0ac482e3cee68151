//! The distribution of the privacy loss on a grid, composed by a Fourier transform.
//!
//! A round's loss is `ln(P(x) / Q(x))` at a draw x from P, where P and Q are the outputs with and without a record, and
//! vice versa. On the grid, the mass between two points is split between them so that the totals of P and Q are kept
//! ("connect the dots", Doroshenko et al. 2022, <https://arxiv.org/abs/2207.04380>): the hockey-stick divergence is
//! exact at the points, and never too small between them. Tails are rounded up, at the end to infinity.

use std::cmp::Ordering;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use crate::error::shown;
use crate::normal::{above, between};
use crate::{Mechanism, PrivacyError};

/// The grid step; a wide range has a wider one.
const STEP: f64 = 1e-4;
/// The maximum number of points, for one round and for all rounds.
const MOST_POINTS: f64 = (1 << 20) as f64;
const MOST_COMPOSED: f64 = (1 << 22) as f64;
/// The mass of each tail, relative to delta.
const TAIL: f64 = 1e-4;
/// The maximum number of times that the grid is widened.
const MOST_WIDENINGS: usize = 6;
/// Below this delta, rounding errors of the transform would matter.
const LEAST_DELTA: f64 = 1e-9;

/// Losses `(first + i) step` with these masses, and the mass of infinite losses.
struct Losses {
    step: f64,
    first: i64,
    masses: Vec<f64>,
    infinite: f64,
}

/// Which of the two data sets contains the record.
#[derive(Clone, Copy)]
enum Direction {
    Remove,
    Add,
}

pub(crate) fn epsilon(mechanism: &Mechanism, delta: f64) -> Result<f64, PrivacyError> {
    if delta < LEAST_DELTA {
        let problem = format!(
            "{} is below {LEAST_DELTA}, where \"pld\" is not accurate; choose \"rdp\"",
            shown(delta)
        );
        return Err(PrivacyError::setting("delta", problem));
    }
    // An upper bound on the transform's rounding error of a probability.
    let rounding = mechanism.rounds as f64 * MOST_COMPOSED.log2() * 4.0 * f64::EPSILON;
    if delta < 10.0 * rounding {
        let problem = format!(
            "{} is too small for {} rounds by \"pld\"; choose \"rdp\"",
            shown(delta),
            mechanism.rounds
        );
        return Err(PrivacyError::setting("delta", problem));
    }
    let tail = delta * TAIL / mechanism.rounds as f64;
    let mut most = 0.0_f64;
    for direction in [Direction::Remove, Direction::Add] {
        // Again with a wider grid, if the losses of all rounds do not fit.
        let mut step = STEP;
        let mut composed = None;
        for _ in 0..MOST_WIDENINGS {
            let one = one_round(mechanism, direction, tail, step);
            match compose(&one, mechanism.rounds, delta * TAIL) {
                Ok(found) => {
                    composed = Some(found);
                    break;
                }
                Err(wider) => step = wider,
            }
        }
        // No finite bound is known, and infinity is a valid one.
        let Some(mut composed) = composed else { return Ok(f64::INFINITY) };
        composed.infinite += rounding;
        most = most.max(composed.epsilon(delta));
    }
    Ok(most)
}

/// The loss of one round.
fn one_round(mechanism: &Mechanism, direction: Direction, tail: f64, step: f64) -> Losses {
    let &Mechanism { rate, noise, .. } = mechanism;
    // `ln((1 - q) + q exp((2 x - 1) / (2 z^2)))`, which increases with x, and its inverse.
    let loss = |x: f64| {
        let inner = (2.0 * x - 1.0) / (2.0 * noise * noise);
        match rate == 1.0 {
            true => inner,
            // Avoids an overflow for large exponents.
            false if inner > 0.0 => inner + ((1.0 - rate) * (-inner).exp() + rate).ln(),
            false => (rate * inner.exp_m1()).ln_1p(),
        }
    };
    let at = |loss: f64| {
        let inner = match rate == 1.0 {
            true => loss,
            false => {
                let share = loss.exp_m1() / rate + 1.0;
                if share <= 0.0 {
                    return f64::NEG_INFINITY;
                }
                // `ln((e^l - (1 - q)) / q)`, also for large l.
                if loss > 30.0 {
                    loss - rate.ln() + (-(1.0 - rate) * (-loss).exp()).ln_1p()
                } else {
                    share.ln()
                }
            }
        };
        noise * noise * inner + 0.5
    };
    // Beyond `reach` standard deviations lies less than the tail mass.
    let mut reach = 1.0;
    while above(reach) > tail {
        reach += 0.25;
    }
    let (low, high) = (loss(-reach * noise), loss(reach * noise + 1.0));
    let (low, high) = match direction {
        Direction::Remove => (low, high),
        Direction::Add => (-high, -low),
    };
    let step = step.max((high - low) / MOST_POINTS);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    let mixture = |from: f64, to: f64| {
        (1.0 - rate) * between(from / noise, to / noise)
            + rate * between((from - 1.0) / noise, (to - 1.0) / noise)
    };
    let plain = |from: f64, to: f64| between(from / noise, to / noise);
    // Masses of P and Q where the loss is in (from, to].
    let of = |from: f64, to: f64| match direction {
        Direction::Remove => {
            let (from, to) = (at(from), at(to));
            (mixture(from, to), plain(from, to))
        }
        Direction::Add => {
            let (from, to) = (at(-to), at(-from));
            (plain(from, to), mixture(from, to))
        }
    };
    let mut masses = vec![0.0; (last - first + 1) as usize];
    masses[0] += of(f64::NEG_INFINITY, first as f64 * step).0;
    for (place, from) in (first..last).enumerate() {
        let (left, right) = (from as f64 * step, (from + 1) as f64 * step);
        let (p, q) = of(left, right);
        // `p_left + p_right = p` and `p_left e^-left + p_right e^-right = q`.
        let p_left = (q * left.exp() - p * (-step).exp()) / -(-step).exp_m1();
        // At the end of the range of f64, all mass is rounded up.
        let p_left = if p_left.is_finite() { p_left.clamp(0.0, p) } else { 0.0 };
        masses[place] += p_left;
        masses[place + 1] += p - p_left;
    }
    let infinite = of(last as f64 * step, f64::INFINITY).0;
    Losses { step, first, masses, infinite }
}

/// The sum of the losses of `rounds` rounds; the error is a wider step if it does not fit. A mass of `tail` is cut off
/// and counted as infinite.
fn compose(one: &Losses, rounds: usize, tail: f64) -> Result<Losses, f64> {
    let count = rounds as f64;
    // The range of the sum that contains almost all of its mass, by Chernoff's bound.
    let known = one.masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0);
    let known: Vec<(f64, f64)> = known
        .map(|(place, mass)| (mass.ln(), (one.first + place as i64) as f64 * one.step))
        .collect();
    let bound = |sign: f64| {
        let of = |rate: f64| {
            let exponents = || known.iter().map(|(ln_mass, loss)| ln_mass + sign * rate * loss);
            let most = exponents().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = exponents().map(|it| (it - most).exp()).sum();
            (count * (most + sum.ln()) - tail.ln()) / rate
        };
        let rates = (-14..=10).map(|power| 2f64.powi(power));
        rates.map(of).fold(f64::INFINITY, f64::min)
    };
    let all = (one.masses.len() - 1) as f64 * one.step * count;
    let start = one.first as f64 * one.step * count;
    let (low, high) = ((-bound(-1.0)).max(start), bound(1.0).min(start + all));
    let (low, high) = ((low / one.step).floor(), (high / one.step).ceil());
    let points = (high - low + 1.0).max(one.masses.len() as f64);
    if !points.is_finite() || points > MOST_COMPOSED {
        return Err(one.step * (points / MOST_COMPOSED * 1.01));
    }
    let (low, high) = (low as i64, high as i64);
    let size = (points as usize).next_power_of_two();
    let mut values: Vec<Complex<f64>> = vec![Complex::default(); size];
    for (place, &mass) in one.masses.iter().enumerate() {
        values[place].re += mass;
    }
    let mut planner = FftPlanner::new();
    planner.plan_fft_forward(size).process(&mut values);
    values.iter_mut().for_each(|value| *value = power(*value, rounds));
    planner.plan_fft_inverse(size).process(&mut values);
    // The sum's first loss is at `rounds first`, and indices wrap around.
    let origin = one.first * rounds as i64;
    let masses = (low..=high).map(|loss| {
        let place = (loss - origin).rem_euclid(size as i64) as usize;
        (values[place].re / size as f64).max(0.0)
    });
    let infinite = -(count * (-one.infinite).ln_1p()).exp_m1() + 2.0 * tail;
    Ok(Losses { step: one.step, first: low, masses: masses.collect(), infinite })
}

fn power(mut base: Complex<f64>, mut exponent: usize) -> Complex<f64> {
    let mut product = Complex::new(1.0, 0.0);
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

impl Losses {
    /// The smallest epsilon for which `infinite + sum_{l > e} (1 - exp(e - l)) p_l` is at most `delta`.
    fn epsilon(&self, delta: f64) -> f64 {
        // Sums over the losses l' above this loss l: of masses, and of masses times exp(l' - l).
        let (mut masses, mut scaled) = (self.infinite, 0.0_f64);
        // A NaN does not count.
        if masses.partial_cmp(&delta).is_none_or(Ordering::is_gt) {
            return f64::INFINITY;
        }
        let shrink = (-self.step).exp();
        for (place, &mass) in self.masses.iter().enumerate().rev() {
            let loss = (self.first + place as i64) as f64 * self.step;
            let before = scaled;
            scaled *= shrink;
            if (masses - scaled).partial_cmp(&delta).is_none_or(Ordering::is_gt) {
                // Between this loss and the next.
                return loss + self.step + ((masses - delta) / before).ln();
            }
            if loss <= 0.0 {
                return 0.0;
            }
            masses += mass;
            scaled += mass;
        }
        0.0
    }
}
