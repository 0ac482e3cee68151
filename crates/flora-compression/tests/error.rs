//! Errors and biases on Gaussian numbers.

mod common;

use common::{gaussian, nmse, pass, preset};
use flora_compression::Codec;

/// The NMSE of one message, and of the mean of `clients` messages.
fn errors(codec: Codec, tensors: &[Vec<f32>], clients: u64) -> (f64, f64) {
    let expected = tensors.concat();
    let mut one = 0.0;
    let mut sum = vec![0.0_f64; expected.len()];
    for client in 0..clients {
        let found = pass(codec, tensors, client).concat();
        one += nmse(&expected, &found) / clients as f64;
        sum.iter_mut().zip(found).for_each(|(sum, value)| *sum += f64::from(value));
    }
    let mean: Vec<f32> = sum.into_iter().map(|sum| (sum / clients as f64) as f32).collect();
    (one, nmse(&expected, &mean))
}

/// The reference pads these numbers to 32,768 and drops the padding, with a quarter of the error.
#[test]
fn eden_has_the_published_error_and_no_bias() {
    let table = [(1, 0.427, 0.021), (2, 0.0996, 0.005), (3, 0.0268, 0.0014), (4, 0.0072, 0.0004)];
    for (bits, of_one, of_mean) in table {
        let (one, mean) = errors(Codec::Eden { bits }, &preset(1), 20);
        println!("eden {bits} bits: {one:.5}, mean of 20: {mean:.6}");
        assert!((one * 0.75 / of_one - 1.0).abs() < 0.02, "{bits}: {one}");
        // For these, the table has one or two digits.
        assert!((mean * 0.75 - of_mean).abs() < 0.5e-4 + of_mean * 0.05, "{bits}: {mean}");
        assert!((mean * 20.0 / one - 1.0).abs() < 0.03, "{bits}: {one} {mean}");
    }
}

/// The squared error of the mean of K messages is 1/K of that of one; a bias would keep it from falling.
#[test]
fn the_mean_of_many_is_the_number() {
    // Far from Gaussian: few large numbers, one sign, two tensors of different scales.
    let tensors = [
        (0..600).map(|at| 1.0 / (1.0 + at as f32)).collect::<Vec<f32>>(),
        gaussian(400, 3).into_iter().map(|value| value * 0.01).collect(),
    ];
    let eden = (1..=4).map(|bits| Codec::Eden { bits });
    for codec in [Codec::Int8, Codec::Int4].into_iter().chain(eden) {
        let (one, mean) = errors(codec, &tensors, 2_000);
        println!("{codec:?}: {one:.6}, mean of 2000: {mean:.9}");
        assert!(mean < one / 2_000.0 * 1.5, "{codec:?}: {one} {mean}");
    }
}

/// The benefit of one scale per 4,096 numbers.
#[test]
fn integers_have_the_error_of_their_steps() {
    for (codec, levels) in [(Codec::Int8, 127.0_f64), (Codec::Int4, 7.0)] {
        for count in [1_536, 4_096, 24_576, 262_144] {
            let (one, _) = errors(codec, &[gaussian(count, 5)], 4);
            println!("{codec:?}, {count} numbers: {one:.3e}");
            // Stochastic rounding has a variance of step^2 / 6; the largest of 4,096 is 3 to 5 standard deviations
            // away.
            let step = 1.0 / levels;
            assert!((9.0..25.0).contains(&(one * 6.0 / (step * step))), "{codec:?} {count}: {one}");
        }
    }
}
