//! The standard normal distribution.

use statrs::distribution::{ContinuousCDF, Normal};

/// The quantile of a probability strictly between 0 and 1.
pub(super) fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// A standard normal value from 64 random bits, of which the upper 52 are used.
pub(super) fn normal(bits: u64) -> f64 {
    // The midpoint between two of the 2^52 fractions, so that neither 0 nor 1 occurs.
    quantile(((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `NormalDist().inv_cdf` of Python 3.11.
    #[test]
    fn quantiles_are_those_of_python() {
        for (probability, expected) in [
            (0.5, 0.0),
            (0.45, -0.125661346855074),
            (0.3, -0.5244005127080407),
            (0.075, -1.4395314709384557),
            (0.07, -1.4757910281791702),
            (0.01, -2.3263478740408408),
            (0.001, -3.090232306167813),
            (1e-08, -5.61200124417479),
            (1e-12, -7.034483825301132),
            (1e-100, -21.27345356096532),
        ] {
            let found = quantile(probability);
            assert!(
                (found - expected).abs() < 1e-14 * expected.abs().max(1.0),
                "{probability}: {found}"
            );
            // 1 - p has fewer digits than a small p.
            if probability > 1e-3 {
                assert!((quantile(1.0 - probability) + expected).abs() < 1e-12, "{probability}");
            }
        }
    }

    #[test]
    fn every_64_bits_give_a_finite_number() {
        assert!(normal(0).is_finite() && normal(0) < -8.0);
        assert!(normal(u64::MAX).is_finite() && normal(u64::MAX) > 8.0);
        assert!(normal(1 << 63).abs() < 1e-15);
    }
}
