//! Flower's `quantize`: weighted parameters as integers, rounded stochastically without bias.

use flora_core::ParameterRecord;

use super::settings::Settings;
use super::{Random, SecAggError};

/// The bytes of one draw, of which 53 bits are used, as in numpy's `rand`.
const DRAW: usize = 8;
/// Draws per block: a block fits into the processor's cache.
const AT_ONCE: usize = 1 << 12;

/// The weight of a number of examples as an integer: `target_range` corresponds to `max_weight`.
///
/// Above `max_weight`, Flower only warns, and the sum overflows; here that is an error.
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
    // Python's `round` rounds halves to even, too.
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

/// Checks that all parameters are in range with this weight; the error names the one furthest outside.
pub(super) fn check_range(
    settings: &Settings,
    weight: u32,
    parameters: &ParameterRecord,
) -> Result<(), SecAggError> {
    let (clipping_range, weight) = (settings.clipping_range, share(settings, weight));
    let (mut furthest, mut needed) = (None, clipping_range);
    for (name, tensor) in parameters.iter() {
        for (element, &value) in tensor.to_f32().iter().enumerate() {
            if !value.is_finite() {
                let problem = format!(
                    "{name}, element {element} is {value} after training; lower the learning rate"
                );
                return Err(SecAggError::Answer(problem));
            }
            let weighted = (f64::from(value) * weight).abs();
            if weighted > needed {
                needed = weighted;
                furthest = Some((name, element));
            }
        }
    }
    let Some((array, element)) = furthest else { return Ok(()) };
    let mut enough = clipping_range;
    while enough < needed {
        enough *= 2.0;
    }
    Err(SecAggError::Range { array: array.to_owned(), element, clipping_range, enough })
}

/// The quantized values. All must be in range.
pub(super) fn quantize(
    settings: &Settings,
    weight: u32,
    values: &[f32],
    random: &mut Random<'_>,
) -> Result<Vec<u32>, SecAggError> {
    let (clip, weight) = (settings.clipping_range, share(settings, weight));
    let steps = f64::from(settings.target_range) / (2.0 * clip);
    let mut quantized = Vec::with_capacity(values.len());
    let mut draws = vec![0; DRAW * values.len().min(AT_ONCE)];
    for values in values.chunks(AT_ONCE) {
        let draws = &mut draws[..DRAW * values.len()];
        random(draws).map_err(SecAggError::Random)?;
        for (&value, draw) in values.iter().zip(draws.as_chunks::<DRAW>().0) {
            let draw = (u64::from_le_bytes(*draw) >> 11) as f64 / (1_u64 << 53) as f64;
            let exact = (f64::from(value) * weight + clip) * steps;
            let above = exact.ceil();
            let is_below = draw < above - exact;
            quantized.push((above - f64::from(u8::from(is_below))) as u32);
        }
    }
    Ok(quantized)
}

/// The factor by which parameters are multiplied.
fn share(settings: &Settings, weight: u32) -> f64 {
    f64::from(weight) / f64::from(settings.target_range)
}

#[cfg(test)]
mod tests {
    use flora_core::HostTensor;

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
            let quantized = quantize(&settings, weight, &case.values, &mut replay).unwrap();
            assert_eq!(quantized, case.quantized);
        }
    }

    #[test]
    fn rounding_is_right_on_average() {
        let settings = settings();
        let values = vec![0.123_456_79; 40_000];
        let weight = 1 << 21;
        let quantized = quantize(&settings, weight, &values, &mut from_system()).unwrap();
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

        let record = |values: [f32; 2]| {
            let mut record = ParameterRecord::new();
            record.insert("a", HostTensor::from_f32([2], vec![8.5, 0.0]).unwrap()).unwrap();
            record.insert("b", HostTensor::from_f32([1, 2], values.to_vec()).unwrap()).unwrap();
            record
        };
        let check = |weight, values| check_range(&settings, weight, &record(values));
        for value in [8.501, -9.0, f32::MAX] {
            let error = check(1 << 22, [0.0, value]).unwrap_err().to_string();
            assert!(
                error.contains("b, element 1") && error.contains("raise clipping_range"),
                "{error}"
            );
        }
        let error = check(1 << 22, [0.0, 8.0]).unwrap_err().to_string();
        assert!(error.contains("a, element 0") && error.contains("to 16,"), "{error}");
        for value in [f32::NAN, f32::INFINITY] {
            assert!(check(1, [0.0, value]).unwrap_err().to_string().contains("learning rate"));
        }
        // Half the weight, twice the range.
        check(1 << 21, [15.9, -16.0]).unwrap();
        let edges = quantize(&settings, 1 << 22, &[0.0, 8.0, -8.0], &mut from_system()).unwrap();
        assert_eq!(edges, [1 << 21, 1 << 22, 0]);
    }
}
