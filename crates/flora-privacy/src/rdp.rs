//! Rényi differential privacy (Mironov 2017, <https://arxiv.org/abs/1702.07476>) of the sampled Gaussian mechanism (Mironov,
//! Talwar and Zhang 2019, <https://arxiv.org/abs/1908.10530>, section 3.3).

use statrs::function::gamma::ln_gamma;

use crate::normal::ln_erfc;
use crate::without::fixed_size_gaussian;
use crate::{Mechanism, Sampling};

/// Terms of the series for fractional orders whose logarithm is below this are left out.
const LEAST_LN: f64 = -30.0;
/// An upper bound on the sum of all terms left out.
const LEFT_OUT: f64 = 1e-12;
/// Below this, the logarithm of a sum near 1 is a rounding error.
const FEWEST_DIGITS: f64 = 1e-6;
/// A series that needs more terms than this does not converge.
const MOST_TERMS: usize = 100_000;

/// The orders that are evaluated: those of Google's `dp-accounting`.
pub fn orders() -> Vec<f64> {
    let tenths = (11..110).map(|tenths| f64::from(tenths) / 10.0);
    let whole = (11..64).map(f64::from);
    tenths.chain(whole).chain([128.0, 256.0, 512.0, 1024.0]).collect()
}

/// The Rényi divergence of order `alpha`, above 1, of one round that samples at `rate` with the noise multiplier
/// `noise`; `None` if the series for a fractional order does not converge.
pub fn subsampled_gaussian(rate: f64, noise: f64, alpha: f64) -> Option<f64> {
    if rate == 0.0 {
        return Some(0.0);
    }
    if rate == 1.0 {
        return Some(alpha / (2.0 * noise * noise));
    }
    let ln_a = match alpha.fract() == 0.0 {
        true => whole_order(rate, noise, alpha as u64),
        false => fractional_order(rate, noise, alpha)?,
    };
    Some(ln_a / (alpha - 1.0))
}

/// `ln sum_i C(a, i) (1 - q)^(a - i) q^i exp((i^2 - i) / (2 z^2))`, computed as 1 plus the excess: the binomial
/// coefficients alone sum to 1, and for a small rate the excess is tiny.
fn whole_order(rate: f64, noise: f64, alpha: u64) -> f64 {
    let (ln_rate, ln_rest) = (rate.ln(), (-rate).ln_1p());
    let a = alpha as f64;
    let term = |i: u64| {
        let i = i as f64;
        let choose = ln_gamma(a + 1.0) - ln_gamma(i + 1.0) - ln_gamma(a - i + 1.0);
        let exponent = (i * i - i) / (2.0 * noise * noise);
        // `ln(exp(e) - 1)`
        let ln_more = exponent + (-(-exponent).exp_m1()).ln();
        choose + i * ln_rate + (a - i) * ln_rest + ln_more
    };
    // Terms 0 and 1 have no excess.
    let terms: Vec<f64> = (2..=alpha).map(term).collect();
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let more = most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln();
    match more > 40.0 {
        true => more,
        false => more.exp().ln_1p(),
    }
}

/// The integral of the definition, split where the two densities of the mixture are equal, with each half as a binomial
/// series.
fn fractional_order(rate: f64, noise: f64, alpha: f64) -> Option<f64> {
    let (ln_rate, ln_rest) = (rate.ln(), (-rate).ln_1p());
    let middle = noise * noise * (1.0 / rate - 1.0).ln() + 0.5;
    let scale = std::f64::consts::SQRT_2 * noise;
    // Sums of signed terms, relative to the first term.
    let mut below = Signed::default();
    let mut above = Signed::default();
    // |C(alpha, i)|, and its sign.
    let (mut ln_choose, mut sign) = (0.0_f64, 1.0_f64);
    for i in 0..MOST_TERMS {
        let (i, j) = (i as f64, alpha - i as f64);
        let half = -std::f64::consts::LN_2;
        let ln_below = ln_choose
            + i * ln_rate
            + j * ln_rest
            + (i * i - i) / (2.0 * noise * noise)
            + half
            + ln_erfc((i - middle) / scale);
        let ln_above = ln_choose
            + j * ln_rate
            + i * ln_rest
            + (j * j - j) / (2.0 * noise * noise)
            + half
            + ln_erfc((middle - j) / scale);
        below.add(sign, ln_below);
        above.add(sign, ln_above);
        if ln_below.max(ln_above) < LEAST_LN && i > alpha {
            let (most, least) = {
                let (a, b) = (below.ln()?, above.ln()?);
                (a.max(b), a.min(b))
            };
            let ln_a = most + (least - most).exp().ln_1p();
            // Includes the terms left out. A result barely above 1 has lost its digits.
            let ln_a = ln_a + (LEFT_OUT * (-ln_a).exp()).ln_1p();
            return (ln_a > FEWEST_DIGITS).then_some(ln_a);
        }
        let factor = (alpha - i) / (i + 1.0);
        ln_choose += factor.abs().ln();
        sign *= factor.signum();
    }
    None
}

/// A sum of signed numbers given by their logarithms.
#[derive(Default)]
struct Signed {
    terms: Vec<(f64, f64)>,
}

impl Signed {
    fn add(&mut self, sign: f64, ln: f64) {
        self.terms.push((sign, ln));
    }

    /// `None` if the sum is not positive after rounding.
    fn ln(&self) -> Option<f64> {
        let most = self.terms.iter().map(|it| it.1).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.terms.iter().map(|(sign, ln)| sign * (ln - most).exp()).sum();
        (sum > 0.0 && sum.is_finite()).then(|| most + sum.ln())
    }
}

/// The epsilon of the rounds at `delta`: the minimum over the orders, by the conversion of Canonne, Kamath and Steinke
/// (2020, <https://arxiv.org/abs/2004.00010>, proposition 12). Infinite if no order gives a bound.
pub(crate) fn epsilon(mechanism: &Mechanism, delta: f64) -> f64 {
    let &Mechanism { rate, noise, rounds, sampling } = mechanism;
    let of = |alpha: f64| -> Option<f64> {
        let once = match sampling {
            Sampling::Fixed if rate < 1.0 => fixed_size_gaussian(rate, noise / 2.0, alpha),
            _ => subsampled_gaussian(rate, noise, alpha)?,
        };
        let rdp = rounds as f64 * once;
        let epsilon = rdp + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0);
        // An order may give a negative bound, which means an epsilon of 0.
        epsilon.is_finite().then(|| epsilon.max(0.0))
    };
    orders().into_iter().filter_map(of).fold(f64::INFINITY, f64::min)
}
