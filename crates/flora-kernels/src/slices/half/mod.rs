//! Products with a weight in 16 bits, which is rounded and laid out once for all of them.
//!
//! Both factors are rounded to nearest, half to even; products are added in f32. If the processor has AVX512-BF16,
//! which is detected at run time, its instruction multiplies pairs of bf16 numbers. Otherwise, and for f16, the rounded
//! numbers are multiplied as f32: the results are the same up to the order of additions, and the speed is that of f32.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::mem::MaybeUninit;

use half::{bf16, f16};
use rayon::prelude::*;

use super::activation::quick_gelu;
use super::product::{Matrix, product_onto};
use crate::Half;

/// Values per thread at a time.
const CHUNK: usize = 1 << 14;

/// A weight `[rows, columns]` in 16 bits.
pub(crate) struct Packed {
    rows: usize,
    columns: usize,
    form: Form,
}

enum Form {
    #[cfg(target_arch = "x86_64")]
    Panels(avx512::Panels),
    /// Row by row, rounded and converted back to f32.
    Plain(Vec<f32>, Half),
}

impl Packed {
    /// Packs values given row by row.
    ///
    /// # Panics
    ///
    /// If their number is not `rows * columns`.
    pub(crate) fn new(values: &[f32], [rows, columns]: [usize; 2], half: Half) -> Self {
        assert_eq!(values.len(), rows * columns, "a value an element");
        #[cfg(target_arch = "x86_64")]
        if let Some(panels) = match half {
            Half::Bf16 => avx512::Panels::new(values, [rows, columns]),
            Half::F16 => None,
        } {
            return Self { rows, columns, form: Form::Panels(panels) };
        }
        Self::plain(values, [rows, columns], half)
    }

    fn plain(values: &[f32], [rows, columns]: [usize; 2], half: Half) -> Self {
        Self { rows, columns, form: Form::Plain(rounded(values, half), half) }
    }

    /// Whether rounded numbers are multiplied as f32.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.form, Form::Plain(..))
    }

    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// `x W`, plus the row `bias` in each of its rows, plus the matrix `onto`. The rows of `x` are as long as `W` is
    /// high.
    ///
    /// # Panics
    ///
    /// If the lengths are inconsistent.
    pub(crate) fn product_onto(
        &self,
        x: &[f32],
        bias: Option<&[f32]>,
        onto: Option<&[f32]>,
    ) -> Vec<f32> {
        assert!(self.rows > 0 && x.len().is_multiple_of(self.rows), "whole rows");
        let count = x.len() / self.rows;
        let length = count * self.columns;
        assert!(bias.is_none_or(|bias| bias.len() == self.columns), "as long as a row");
        assert!(onto.is_none_or(|onto| onto.len() == length), "as large as the product");
        match &self.form {
            #[cfg(target_arch = "x86_64")]
            Form::Panels(panels) => panels.product_onto(x, bias, onto),
            Form::Plain(weight, half) => {
                let weight = Matrix::of_rows(weight, self.columns);
                let x = rounded(x, *half);
                product_onto(Matrix::of_rows(&x, self.rows), weight, bias, onto)
            }
        }
    }

    /// `quick_gelu(x W + biases[0]) V`, plus the row `biases[1]` in each of its rows, plus the matrix `onto`; `V` is
    /// `next`. It has the bits of the two products, and is one pass with the instruction and enough rows.
    ///
    /// # Panics
    ///
    /// If the lengths are inconsistent.
    pub(crate) fn feed_forward(
        &self,
        next: &Self,
        x: &[f32],
        biases: [Option<&[f32]>; 2],
        onto: Option<&[f32]>,
    ) -> Vec<f32> {
        #[cfg(target_arch = "x86_64")]
        if let (Form::Panels(panels), Form::Panels(next)) = (&self.form, &next.form)
            && let Some(product) = panels.feed_forward(next, x, biases, onto)
        {
            return product;
        }
        next.product_onto(&quick_gelu(&self.product_onto(x, biases[0], None)), biases[1], onto)
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} x {} in 16 bits)", self.rows, self.columns)
    }
}

/// Rounds each value to the nearest in 16 bits.
fn rounded(values: &[f32], half: Half) -> Vec<f32> {
    match half {
        Half::Bf16 => each(values, |value| bf16::from_f32(value).to_f32()),
        Half::F16 => each(values, |value| f16::from_f32(value).to_f32()),
    }
}

#[allow(unsafe_code)]
fn each(values: &[f32], round: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let write = |out: &mut [MaybeUninit<f32>]| {
        out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(out, values)| {
            for (out, &value) in out.iter_mut().zip(values) {
                out.write(round(value));
            }
        });
    };
    // SAFETY: there is a value for each place.
    unsafe { super::written(values.len(), write) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slices::tests::numbers;

    /// `x W + bias + onto` without rounding, and the sum of the products' magnitudes.
    fn exact(
        [x, weight, bias, onto]: [&[f32]; 4],
        rows: usize,
        columns: usize,
    ) -> (Vec<f64>, Vec<f64>) {
        let element = |index: usize| {
            let (row, column) = (index / columns, index % columns);
            let products = (0..rows)
                .map(|k| f64::from(x[row * rows + k]) * f64::from(weight[k * columns + column]));
            let added = f64::from(bias[column]) + f64::from(onto[index]);
            let magnitude = products.clone().map(f64::abs).sum::<f64>();
            (added + products.sum::<f64>(), 3.0 + magnitude)
        };
        (0..x.len() / rows * columns).map(element).unzip()
    }

    /// Shapes that are and are not multiples of the tiles: rows of x, of W, columns.
    const SHAPES: [[usize; 3]; 10] = [
        [1, 1, 1],
        [1, 768, 33],
        [3, 5, 7],
        [12, 64, 32],
        [13, 65, 31],
        [25, 31, 64],
        [50, 95, 130],
        [7, 2, 300],
        [131, 128, 96],
        [400, 33, 161],
    ];

    fn assert_exact(half: Half, packed: impl Fn(&[f32], [usize; 2]) -> Packed) {
        // Half a unit in the last place.
        let unit = match half {
            Half::Bf16 => 1.0 / 256.0,
            Half::F16 => 1.0 / 2048.0,
        };
        for [count, rows, columns] in SHAPES {
            let [x, weight] = [numbers(count * rows, 1), numbers(rows * columns, 2)];
            let [bias, onto] = [numbers(columns, 3), numbers(count * columns, 4)];
            let got = packed(&weight, [rows, columns]).product_onto(&x, Some(&bias), Some(&onto));
            let (of_rounded, magnitude) =
                exact([&rounded(&x, half), &rounded(&weight, half), &bias, &onto], rows, columns);
            let (of_f32, _) = exact([&x, &weight, &bias, &onto], rows, columns);
            let what = format!("{count} x {rows} x {columns}");
            assert_eq!(got.len(), of_f32.len(), "{what}");
            for (index, &got) in got.iter().enumerate() {
                // f32 sums of so many products, and two roundings.
                let (sum, near) = (1e-6 * magnitude[index], 2.0 * unit * magnitude[index]);
                let error = (f64::from(got) - of_rounded[index]).abs();
                assert!(error <= sum, "{what}, {index}: off by {error:e} of the rounded product");
                let error = (f64::from(got) - of_f32[index]).abs();
                assert!(error <= near, "{what}, {index}: off by {error:e} of the f32 product");
            }
        }
    }

    #[test]
    fn products_are_those_of_the_rounded_numbers() {
        for half in [Half::Bf16, Half::F16] {
            assert_exact(half, |values, dims| Packed::new(values, dims, half));
        }
    }

    #[test]
    fn so_they_are_without_the_instruction() {
        assert_exact(Half::Bf16, |values, dims| Packed::plain(values, dims, Half::Bf16));
    }

    #[test]
    fn a_feed_forward_network_has_the_bits_of_its_two_products() {
        for [count, rows, wide, columns] in
            [[300, 64, 96, 64], [301, 33, 70, 5], [137, 31, 161, 33], [90, 2, 1, 40]]
        {
            let [x, onto] = [numbers(count * rows, 1), numbers(count * columns, 2)];
            let [bias, next_bias] = [numbers(wide, 3), numbers(columns, 4)];
            let first = Packed::new(&numbers(rows * wide, 5), [rows, wide], Half::Bf16);
            let second = Packed::new(&numbers(wide * columns, 6), [wide, columns], Half::Bf16);
            for biases in [[Some(&bias[..]), Some(&next_bias[..])], [None, None]] {
                let between = quick_gelu(&first.product_onto(&x, biases[0], None));
                let apart = second.product_onto(&between, biases[1], Some(&onto));
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let network = || first.feed_forward(&second, &x, biases, Some(&onto));
                    let got = pool.unwrap().install(network);
                    assert_eq!(got, apart, "{count} rows, {threads} threads");
                }
            }
            // Too few rows for one pass.
            let row = first.feed_forward(&second, &x[..rows], [None; 2], None);
            assert_eq!(row, first.feed_forward(&second, &x, [None; 2], None)[..columns]);
        }
    }

    #[test]
    fn nothing_is_added_where_nothing_is_given() {
        let [x, weight] = [numbers(14 * 40, 5), numbers(40 * 50, 6)];
        let packed = Packed::new(&weight, [40, 50], Half::Bf16);
        let zeros = vec![-0.0; 14 * 50];
        let all = packed.product_onto(&x, Some(&zeros[..50]), Some(&zeros));
        assert_eq!(packed.product_onto(&x, None, None), all);
        assert_eq!(packed.product_onto(&x, Some(&zeros[..50]), None), all);
        assert_eq!(packed.product_onto(&x, None, Some(&zeros)), all);
        assert!(packed.product_onto(&[], None, None).is_empty());
    }

    #[test]
    fn a_row_is_the_same_whatever_others_there_are_and_however_many_threads() {
        let (rows, columns) = (96, 200);
        let [x, weight] = [numbers(90 * rows, 7), numbers(rows * columns, 8)];
        let packed = Packed::new(&weight, [rows, columns], Half::Bf16);
        let all = packed.product_onto(&x, None, None);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| packed.product_onto(&x, None, None)), all);
        }
        if packed.is_plain() {
            // `gemm` has its own kernel for a single row.
            return;
        }
        for (row, of_all) in x.chunks(rows).zip(all.chunks(columns)) {
            assert_eq!(packed.product_onto(row, None, None), of_all);
        }
    }

    #[test]
    fn values_that_are_not_finite_are_not_lost() {
        let mut x = numbers(2 * 70, 9);
        (x[3], x[70 + 69]) = (f32::NAN, f32::INFINITY);
        let got =
            Packed::new(&vec![1.0; 70 * 40], [70, 40], Half::Bf16).product_onto(&x, None, None);
        assert!(got[..40].iter().all(|value| value.is_nan()));
        assert!(got[40..].iter().all(|&value| value == f32::INFINITY));
    }
}
