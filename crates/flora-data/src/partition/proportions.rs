//! The symmetric Dirichlet distribution.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Open01};

/// Beyond these, proportions are one-hot or uniform to the last bit, and the logarithms stay finite.
const BETAS: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// A draw from the symmetric Dirichlet distribution over the open clients; 0 for the others.
///
/// It is a vector of Gamma(beta) draws divided by their sum, and for small beta all of these underflow to zero. Their
/// logarithms do not: `ln Gamma(beta) = ln Gamma(beta + 1) + ln(U) / beta` in distribution (Marsaglia and Tsang 2000,
/// section 6). Scaling by the largest then leaves at least one share of 1.
pub(super) fn proportions(beta: f64, open: &[bool], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let beta = beta.clamp(*BETAS.start(), *BETAS.end());
    let gamma = Gamma::new(beta + 1.0, 1.0).expect("the shape is finite and above 1");
    let logs: Vec<f64> = open
        .iter()
        .map(|&open| {
            // Closed clients draw too, so that the mask affects only its own clients.
            let uniform: f64 = rng.sample(Open01);
            let log = gamma.sample(rng).ln() + uniform.ln() / beta;
            if open { log } else { f64::NEG_INFINITY }
        })
        .collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return vec![0.0; open.len()];
    }
    let scaled: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = scaled.iter().sum();
    scaled.into_iter().map(|share| share / sum).collect()
}

#[cfg(test)]
mod tests {
    use flora_core::seed;

    use super::*;

    #[test]
    fn proportions_are_a_distribution_at_any_beta() {
        let mut rng = seed::stream(1, "test");
        for beta in [f64::MIN_POSITIVE, 1e-9, 0.001, 0.1, 1.0, 1e3, f64::MAX] {
            for _ in 0..200 {
                let p = proportions(beta, &[true, false, true, true], &mut rng);
                assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{beta}: {p:?}");
                assert_eq!(p[1], 0.0);
                assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{beta}: {p:?}");
            }
        }
    }

    #[test]
    fn proportions_have_the_moments_of_the_distribution() {
        // Mean 1/K and variance (K - 1) / (K^2 (K beta + 1)).
        let mut rng = seed::stream(2, "test");
        for beta in [0.1, 1.0, 5.0] {
            let draws: Vec<f64> =
                (0..20_000).map(|_| proportions(beta, &[true; 4], &mut rng)[2]).collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n;
            let expected = 3.0 / (16.0 * (4.0 * beta + 1.0));
            assert!((mean - 0.25).abs() < 0.01, "{beta}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{beta}: {variance}");
        }
    }
}
