//! Tails of the standard normal distribution.

use statrs::function::erf::erfc;

/// Beyond this, `erfc` loses precision and then underflows.
const FAR: f64 = 20.0;

/// `ln erfc(x)`, also where `erfc(x)` underflows.
pub(crate) fn ln_erfc(x: f64) -> f64 {
    if x < FAR {
        return erfc(x).ln();
    }
    // Abramowitz and Stegun 7.1.23; from here on, the next term is below 1e-10.
    let square = x * x;
    let series = 1.0 - 0.5 / square + 0.75 / square.powi(2) - 1.875 / square.powi(3)
        + 6.5625 / square.powi(4);
    -square - (x * std::f64::consts::PI.sqrt()).ln() + series.ln()
}

/// `ln P(X > x)`.
pub(crate) fn ln_above(x: f64) -> f64 {
    ln_erfc(x / std::f64::consts::SQRT_2) - std::f64::consts::LN_2
}

/// `P(X > x)`.
pub(crate) fn above(x: f64) -> f64 {
    0.5 * erfc(x / std::f64::consts::SQRT_2)
}

/// `P(from < X <= to)`, computed from the tail that keeps more digits.
pub(crate) fn between(from: f64, to: f64) -> f64 {
    match from > 0.0 {
        true => above(from) - above(to),
        false => above(-to) - above(-from),
    }
    .max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `mpmath.log(mpmath.erfc(x))`.
    #[test]
    fn tails_are_those_of_mpmath() {
        for (x, expected) in [
            (-3.0, 0.693136135250447),
            (0.5, -0.735011129837084),
            (10.0, -102.879889024845),
            (19.9, -399.574343308275),
            (20.0, -403.569343334104),
            (100.0, -10005.1775851227),
        ] {
            let found = ln_erfc(x);
            assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{x}: {found}");
        }
    }
}
