//! The arithmetic on slices. The code is written for auto-vectorisation, and compiled once for each kind of processor:
//! [`pulp`] picks one at run time.

/// Defines a function whose body, including everything `inline(always)` in it, is compiled for each kind of processor.
/// (A closure would not work: it is a separate function, without the processor's features.)
macro_rules! vectorized {
    (fn $name:ident<$a:lifetime>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        fn $name<$a>($($argument: $type),*) {
            struct Work<$a> {
                $($argument: $type),*
            }
            impl<$a> pulp::WithSimd for Work<$a> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _simd: S) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Work { $($argument),* })
        }
    };
}

pub(crate) mod activation;
pub(crate) mod adam;
pub(crate) mod attention;
pub(crate) mod half;
pub(crate) mod norm;
pub(crate) mod patches;
pub(crate) mod product;

use std::mem::MaybeUninit;

/// The number of sums computed side by side: a fixed order of addition, which vectors of any width can keep.
const LANES: usize = 16;

/// A vector of `length` values initialised by `write`, without clearing it before.
///
/// # Safety
///
/// `write` writes every value.
#[allow(unsafe_code)]
unsafe fn written<T>(length: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: there is room for as many, and the caller promises that they were written.
    unsafe { values.set_len(length) };
    values
}

/// `e^x`, relative error below 2e-7 over the whole range; saturates instead of overflowing.
///
/// The polynomial is that of the Cephes library (S. L. Moshier), on `x - n ln 2`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p = p * r * r + r + 1.0;
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// The sum of `term(a, b)` over two slices of one length.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += term(a, b);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic numbers in [-1, 1).
    pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn exp_is_the_exponential() {
        for step in -8_700..=8_800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::INFINITY).is_finite() && exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_take_every_element() {
        let ones = vec![1.0; 3 * LANES + 5];
        assert_eq!(sum(&ones, &ones, |a, b| a * b), ones.len() as f32);
    }
}
