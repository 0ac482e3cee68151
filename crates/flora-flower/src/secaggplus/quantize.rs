//! Flower's `quantize`: weighted parameters as whole numbers, rounded up or down by chance so that the mean is right.

use super::settings::Settings;
use super::{Random, SecAggError};

/// The bytes of one draw, of which 53 bits count, as in numpy's `rand`.
const DRAW: usize = 8;

/// The weight of so many examples as a whole number: `target_range` stands for `max_weight`.
///
/// Flower warns of more examples than `max_weight`, and the sum overflows; here that is an error.
pub(super) fn weight(settings: &Settings, num_examples: usize) -> Result<u32, SecAggError> {
    let ratio = num_examples as f64 / settings.max_weight;
    if num_examples == 0 {
        return Err(SecAggError::Answer(
            "this site has no training examples, and so no weight".to_owned(),
        ));
    }
    if ratio > 1.0 {
        let problem = format!(
            "is {}, and this site has {num_examples} examples; raise it to the largest number of any site, or let this \
             site train on fewer",
            settings.max_weight
        );
        return Err(SecAggError::setting("max_weight", problem));
    }
    // Python's `round` takes halves to even numbers, too.
    let weight = (ratio * f64::from(settings.target_range)).round_ties_even() as u32;
    if weight == 0 {
        let problem = format!(
            "is {}, of which this site's {num_examples} examples are so small a part that its weight would be 0; lower \
             it, or raise quantization_range",
            settings.max_weight
        );
        return Err(SecAggError::setting("max_weight", problem));
    }
    Ok(weight)
}

/// The values of array number `array` (from 0) of `arrays`, as they are summed.
pub(super) fn quantize(
    settings: &Settings,
    weight: u32,
    values: &[f32],
    (array, arrays): (usize, usize),
    random: &mut Random<'_>,
) -> Result<Vec<u32>, SecAggError> {
    let (clip, target) = (settings.clipping_range, f64::from(settings.target_range));
    let weight = f64::from(weight) / target;
    let steps = target / (2.0 * clip);
    let mut draws = vec![0; DRAW * values.len()];
    random(&mut draws).map_err(SecAggError::Random)?;
    let draws = draws.as_chunks::<DRAW>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) >> 11);
    let draws = draws.map(|bits| bits as f64 / (1_u64 << 53) as f64);
    let quantized = values.iter().zip(draws).enumerate().map(|(element, (&value, draw))| {
        let weighted = f64::from(value) * weight;
        if !value.is_finite() {
            let problem = format!(
                "array {} of {arrays}, element {element} is {value} after training; lower the learning rate",
                array + 1
            );
            return Err(SecAggError::Answer(problem));
        }
        if weighted.abs() > clip {
            return Err(SecAggError::Range {
                array: array + 1,
                arrays,
                element,
                value,
                weight,
                clipping_range: clip,
                needed: weighted.abs(),
            });
        }
        let exact = (weighted + clip) * steps;
        let above = exact.ceil();
        let is_below = draw < above - exact;
        Ok((above - f64::from(u8::from(is_below))) as u32)
    });
    quantized.collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Primitives, from_system};
    use super::*;

    fn settings() -> Settings {
        Settings {
            sample_num: 4,
            share_num: 3,
            threshold: 2,
            clipping_range: 8.0,
            target_range: 1 << 22,
            mod_range: 1 << 32,
            max_weight: 1000.0,
        }
    }

    #[test]
    fn numbers_are_those_of_flower_with_the_same_draws() {
        let cases = Primitives::load().quantized;
        assert!(cases.len() >= 3);
        for case in cases {
            let settings = Settings {
                clipping_range: case.clipping_range,
                target_range: case.target_range,
                max_weight: case.max_weight,
                ..settings()
            };
            let weight = weight(&settings, case.num_examples).unwrap();
            assert_eq!(weight, case.weight);
            let mut replay = |bytes: &mut [u8]| {
                for (bytes, draw) in bytes.as_chunks_mut::<DRAW>().0.iter_mut().zip(&case.draws) {
                    *bytes = (((draw * (1_u64 << 53) as f64) as u64) << 11).to_le_bytes();
                }
                Ok(())
            };
            let quantized = quantize(&settings, weight, &case.values, (0, 1), &mut replay).unwrap();
            assert_eq!(quantized, case.quantized);
        }
    }

    #[test]
    fn rounding_is_right_on_average() {
        let settings = settings();
        let values = vec![0.123_456_79; 40_000];
        let weight = 1 << 21;
        let quantized = quantize(&settings, weight, &values, (0, 1), &mut from_system()).unwrap();
        let step = 16.0 / f64::from(1 << 22);
        let mean = quantized.iter().map(|it| f64::from(*it) * step - 8.0).sum::<f64>() / 40_000.0;
        let exact = f64::from(values[0]) / 2.0;
        // Seven standard deviations.
        assert!((mean - exact).abs() < 7.0 * 0.5 * step / 200.0, "{mean} {exact}");
    }

    #[test]
    fn what_flower_saturates_or_overflows_is_an_error_that_names_the_setting() {
        let settings = settings();
        let error = weight(&settings, 1001).unwrap_err().to_string();
        assert!(error.contains("`max_weight`") && error.contains("1001 examples"), "{error}");
        assert!(weight(&settings, 0).unwrap_err().to_string().contains("no training examples"));
        assert_eq!(weight(&settings, 1000).unwrap(), 1 << 22);
        let tiny = Settings { target_range: 100, ..settings };
        assert!(weight(&tiny, 1).unwrap_err().to_string().contains("quantization_range"));

        let mut random = from_system();
        let mut made = |value| quantize(&settings, 1 << 22, &[0.0, value], (2, 5), &mut random);
        assert_eq!(made(8.0).unwrap(), [1 << 21, 1 << 22]);
        assert_eq!(made(-8.0).unwrap(), [1 << 21, 0]);
        for value in [8.001, -9.0, f32::MAX] {
            let error = made(value).unwrap_err().to_string();
            assert!(
                error.contains("array 3 of 5, element 1") && error.contains("raise clipping_range"),
                "{error}"
            );
        }
        for value in [f32::NAN, f32::INFINITY] {
            assert!(made(value).unwrap_err().to_string().contains("learning rate"));
        }
        // Half the weight, twice the range.
        assert!(quantize(&settings, 1 << 21, &[15.9], (0, 1), &mut random).is_ok());
    }
}
