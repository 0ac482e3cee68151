//! The normal distribution, without a table or a library.

/// Numerator and denominator of a rational function, from the highest power.
type Ratio = [[f64; 8]; 2];

/// For probabilities from 0.075 to 0.925.
const MIDDLE: Ratio = [
    [
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ],
    [
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ],
];

/// Further out, down to 1e-11.
const TAIL: Ratio = [
    [
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ],
    [
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ],
];

/// And beyond.
const FAR_TAIL: Ratio = [
    [
        2.0103343992922881e-07,
        2.7115555687434876e-05,
        0.0012426609473880784,
        0.026532189526576124,
        0.29656057182850487,
        1.7848265399172913,
        5.463784911164114,
        6.657904643501103,
    ],
    [
        2.0442631033899397e-15,
        1.421511758316446e-07,
        1.8463183175100548e-05,
        0.0007868691311456133,
        0.014875361290850615,
        0.1369298809227358,
        0.599832206555888,
        1.0,
    ],
];

/// The standard normal quantile of a probability between 0 and 1, both left out: Wichura's algorithm AS 241
/// (Applied Statistics 37, 1988, <https://doi.org/10.2307/2347330>), exact to about 1e-16.
pub(super) fn quantile(probability: f64) -> f64 {
    let from_middle = probability - 0.5;
    if from_middle.abs() <= 0.425 {
        return from_middle * at(&MIDDLE, 0.180_625 - from_middle * from_middle);
    }
    let tail = probability.min(1.0 - probability);
    let far = (-tail.ln()).sqrt();
    let size = if far <= 5.0 { at(&TAIL, far - 1.6) } else { at(&FAR_TAIL, far - 5.0) };
    size.copysign(from_middle)
}

/// A number of the standard normal distribution from 64 random bits, of which it takes the upper 52.
pub(super) fn normal(bits: u64) -> f64 {
    // In the middle between two of the 2^52 fractions, so that neither 0 nor 1 is one of them.
    quantile(((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64)
}

fn at([numerator, denominator]: &Ratio, x: f64) -> f64 {
    let polynomial = |coefficients: &[f64; 8]| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    polynomial(numerator) / polynomial(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `NormalDist().inv_cdf` of Python 3.11.
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
