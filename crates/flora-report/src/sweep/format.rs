//! Means and deviations in human-readable form.

use super::{Difference, Pairs, Spread};
use crate::units::{bytes, count, percent, relative};

/// Shares in per cent: `60.0 ± 14.1`.
pub(super) fn share(spread: Spread) -> String {
    with_deviation(spread, percent)
}

/// Differences of shares in percentage points: `+1.2`.
pub(super) fn difference(difference: &Difference) -> String {
    points(difference.mean)
}

/// `+0.3 … +2.1`
pub(super) fn interval(difference: &Difference) -> Option<String> {
    difference.interval.map(|(low, high)| format!("{} … {}", points(low), points(high)))
}

/// `+1.2 (+0.3 … +2.1)`
pub(super) fn with_interval(it: &Difference) -> String {
    match interval(it) {
        Some(interval) => format!("{} ({interval})", difference(it)),
        None => difference(it),
    }
}

/// `3 draws`
pub(super) fn pairs(difference: &Difference) -> String {
    match difference.pairs {
        Pairs::Draws(1) => "1 draw".to_owned(),
        Pairs::Draws(draws) => format!("{draws} draws"),
        Pairs::Seeds(1) => "1 seed".to_owned(),
        Pairs::Seeds(seeds) => format!("{seeds} seeds"),
    }
}

/// `0.0` has no sign.
fn points(share: f64) -> String {
    match format!("{:+.1}", 100.0 * share).as_str() {
        "+0.0" | "-0.0" => "0.0".to_owned(),
        points => points.to_owned(),
    }
}

/// The mean of bytes.
pub(super) fn mean_bytes(spread: Spread) -> String {
    bytes(spread.mean.round() as u64)
}

/// A relative error: `12.3 ± 0.4 %`, or `2e-8` if it is only rounding.
pub(super) fn error(spread: Spread) -> String {
    match spread.mean < 5e-4 {
        true => relative(spread.mean),
        false => format!("{} %", share(spread)),
    }
}

/// Seconds, with the digits of the mean: `1.50 ± 0.02`, `34.7 ± 0.3`, `120 ± 2`.
pub(super) fn seconds(spread: Spread) -> String {
    let digits = digits(spread.mean);
    with_deviation(spread, |value| format!("{value:.digits$}"))
}

/// Bytes in MiB: one unit, so that a column can be compared.
pub(super) fn mebibytes(spread: Spread) -> String {
    let spread = spread.times(1.0 / f64::from(1 << 20));
    let digits = digits(spread.mean).min(1);
    with_deviation(spread, |value| format!("{value:.digits$}"))
}

/// `6,155×`, `34.7×`, `1.00×`, `0.012×`.
pub(super) fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 99.95 => format!("{}×", count(ratio.round() as usize)),
        ratio if ratio >= 0.995 => format!("{ratio:.*}×", digits(ratio)),
        ratio if ratio >= 0.0995 => format!("{ratio:.2}×"),
        ratio if ratio >= 0.00995 => format!("{ratio:.3}×"),
        ratio if ratio >= 0.000_995 => format!("{ratio:.4}×"),
        ratio => format!("{ratio:.1e}×"),
    }
}

/// Decimals that make three digits.
fn digits(value: f64) -> usize {
    match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    }
}

fn with_deviation(spread: Spread, number: impl Fn(f64) -> String) -> String {
    match spread.deviation {
        None => number(spread.mean),
        Some(deviation) => format!("{} ± {}", number(spread.mean), number(deviation)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_those_of_the_mean() {
        let spread = |mean, deviation| Spread { mean, deviation: Some(deviation) };
        assert_eq!(share(spread(0.6, 0.1414)), "60.0 ± 14.1");
        assert_eq!(seconds(spread(1.5, 0.0204)), "1.50 ± 0.02");
        assert_eq!(seconds(spread(34.72, 0.3)), "34.7 ± 0.3");
        assert_eq!(mebibytes(spread(841_482_240.0, 4_194_304.0)), "802 ± 4");
        assert_eq!(mebibytes(Spread { mean: 1_572_864.0, deviation: None }), "1.5");
    }

    #[test]
    fn ratios_of_any_size() {
        for (value, expected) in [
            (6155.4, "6,155×"),
            (99.96, "100×"),
            (34.72, "34.7×"),
            (1.0, "1.00×"),
            (0.999, "1.00×"),
            (0.5, "0.50×"),
            (0.0288, "0.029×"),
            (0.001_625, "0.0016×"),
            (0.000_162_5, "1.6e-4×"),
        ] {
            assert_eq!(ratio(value), expected);
        }
    }
}
