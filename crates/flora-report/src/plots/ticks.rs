//! Round numbers for axes and colour bars.

/// Multiples of a power of ten for an axis: people count in them.
pub(super) const AXIS: &[f64] = &[1.0, 2.0, 5.0];
/// Those for a few numbers beside a scale that should be used to its end.
pub(super) const BAR: &[f64] = &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];

/// The smallest round step of which at most `most` cover `range`, which is positive and finite.
pub(super) fn step(range: f64, most: usize, round: &[f64]) -> f64 {
    let least = range / most.max(1) as f64;
    let power = 10f64.powf(least.log10().floor());
    // Rounding must not cost a whole step.
    let enough = |&&step: &&f64| step * power >= least * (1.0 - 1e-9);
    round.iter().find(enough).unwrap_or(&10.0) * power
}

/// How many decimals multiples of the step need.
pub(super) fn decimals(step: f64) -> usize {
    let whole = |digits: &usize| {
        let scaled = step * 10f64.powi(*digits as i32);
        (scaled - scaled.round()).abs() < 1e-6
    };
    (0..9).find(whole).unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (range, most, round, expected) in [
            (10.0, 10, AXIS, 1.0),
            (10.0, 5, AXIS, 2.0),
            (9.9, 4, AXIS, 5.0),
            (31.0, 6, AXIS, 10.0),
            (0.07, 7, AXIS, 0.01),
            (1.0, 1, AXIS, 1.0),
            (5923.0, 4, BAR, 1500.0),
            (3.9, 4, BAR, 1.0),
        ] {
            let step = step(range, most, round);
            assert!((step - expected).abs() < 1e-9 * expected, "{range} in {most}: {step}");
            assert!(range / step <= most as f64 + 1e-6);
        }
    }

    #[test]
    fn decimals_are_those_of_the_step() {
        for (step, expected) in [(1.0, 0), (2000.0, 0), (2.5, 1), (0.25, 2), (0.01, 2), (0.1, 1)] {
            assert_eq!(decimals(step), expected, "{step}");
        }
    }
}
