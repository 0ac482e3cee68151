//! Rényi divergences for a fixed number of records drawn without replacement, where neighbouring data sets differ by
//! one replaced record (Wang, Balle and Kasiviswanathan 2019, <https://arxiv.org/abs/1808.00087>, theorem 27, with
//! their bound for the Gaussian mechanism).

use statrs::function::gamma::ln_gamma;

/// Differences are used up to this order, since their number grows with the square of the order.
const MOST_DIFFERENCES: usize = 256;
const LN_4: f64 = 2.0 * std::f64::consts::LN_2;

/// The Rényi divergence of order `alpha`, above 1, of one round that draws the share `rate` with the noise multiplier
/// `noise`, relative to the norm of the *difference* of two records' contributions.
pub(crate) fn fixed_size_gaussian(rate: f64, noise: f64, alpha: f64) -> f64 {
    if rate == 1.0 {
        return alpha / (2.0 * noise * noise);
    }
    // Between integer orders, the cumulant generating function lies below its chord (corollary 10).
    let (below, above) = (alpha.floor(), alpha.ceil());
    let part = alpha - below;
    let cumulant = |alpha: f64| whole_order(rate, noise, alpha as usize);
    let ln_a = match part == 0.0 {
        true => cumulant(alpha),
        false => (1.0 - part) * cumulant(below) + part * cumulant(above),
    };
    ln_a / (alpha - 1.0)
}

/// `ln(1 + sum_(i >= 2) q^i C(a, i) s_i)`, with `s_i` the smallest of the bounds on the i-th term.
fn whole_order(rate: f64, noise: f64, alpha: usize) -> f64 {
    if alpha < 2 {
        return 0.0;
    }
    // `(i - 1)` times the divergence of order `i` without sampling.
    let cumulant = |i: usize| {
        let i = i as f64;
        i * (i - 1.0) / (2.0 * noise * noise)
    };
    let differences = (alpha <= MOST_DIFFERENCES).then(|| differences(cumulant, alpha + 1));
    let a = alpha as f64;
    let term = |i: usize| {
        let simple = std::f64::consts::LN_2 + cumulant(i);
        let bound = match &differences {
            _ if i == 2 => {
                let second = cumulant(2);
                (LN_4 + second + (-(-second).exp()).ln_1p()).min(simple)
            }
            Some(of) => (LN_4 + 0.5 * (of[i - i % 2] + of[i + i % 2])).min(simple),
            None => simple,
        };
        let j = i as f64;
        let choose = ln_gamma(a + 1.0) - ln_gamma(j + 1.0) - ln_gamma(a - j + 1.0);
        bound + j * rate.ln() + choose
    };
    let terms: Vec<f64> = (2..=alpha).map(term).collect();
    let most = terms.iter().copied().fold(0.0, f64::max);
    let more: f64 = terms.iter().map(|term| (term - most).exp()).sum();
    match most > 0.0 {
        true => most + (more + (-most).exp()).ln(),
        false => more.ln_1p(),
    }
}

/// The logarithms of the forward differences at 0 of `exp(cumulant(i))`, of orders 0 to `most`.
fn differences(cumulant: impl Fn(usize) -> f64, most: usize) -> Vec<f64> {
    // Signs are kept apart, since a sum of large numbers of both signs would lose all digits.
    let mut row: Vec<(bool, f64)> = (0..=most).map(|i| (true, cumulant(i))).collect();
    let mut found = vec![row[0].1];
    while row.len() > 1 {
        row = row.windows(2).map(|pair| minus(pair[1], pair[0])).collect();
        found.push(row[0].1);
    }
    found
}

/// `left - right`, each given by its sign and the logarithm of its magnitude.
fn minus(left: (bool, f64), right: (bool, f64)) -> (bool, f64) {
    let (most, least) = (left.1.max(right.1), left.1.min(right.1));
    if left.0 != right.0 {
        return (left.0, most + (least - most).exp().ln_1p());
    }
    if most == least {
        return (true, f64::NEG_INFINITY);
    }
    let size = most + (-(least - most).exp()).ln_1p();
    (left.0 == (left.1 > right.1), size)
}
