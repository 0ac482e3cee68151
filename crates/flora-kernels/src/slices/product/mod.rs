//! Matrix products added to existing values, by the [`gemm`] crate, which burn's CPU backend uses, too; products of
//! training steps with few rows are in [`tiles`].
#![allow(unsafe_code)]

mod tiles;

use std::mem::MaybeUninit;

use gemm::Parallelism;
use rayon::prelude::*;

use super::written;
use tiles::Onto;

/// Products of fewer multiply-adds are not worth a second thread: burn's threshold.
const PARALLEL: usize = 192 * 192 * 192;
/// Rows per thread at a time, for filling and summing.
const ROWS: usize = 64;

/// A matrix in a slice, with any strides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix `[rows, columns]`; the offset of an element is `row * strides[0] + column * strides[1]`.
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub(crate) fn new(
        values: &'a [f32],
        [rows, columns]: [usize; 2],
        [row_stride, column_stride]: [usize; 2],
    ) -> Self {
        let last = rows.saturating_sub(1) * row_stride + columns.saturating_sub(1) * column_stride;
        assert!(rows * columns == 0 || last < values.len(), "the slice holds the matrix");
        Self { values, rows, columns, row_stride, column_stride }
    }

    /// Consecutive rows of `columns` values.
    pub(crate) fn of_rows(values: &'a [f32], columns: usize) -> Self {
        Self::new(values, [values.len() / columns, columns], [columns, 1])
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A product, with a row that is added to each of its rows, and a matrix that is added to it.
pub(crate) type Product = fn(Matrix<'_>, Matrix<'_>, Option<&[f32]>, Option<&[f32]>) -> Vec<f32>;

/// `a b`, plus the row `bias` in each of its rows, plus the matrix `onto`.
pub(crate) fn product_onto(
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<&[f32]>,
    onto: Option<&[f32]>,
) -> Vec<f32> {
    let width = b.columns;
    let length = a.rows * width;
    assert!(bias.is_none_or(|bias| bias.len() == width), "as long as a row");
    assert!(onto.is_none_or(|onto| onto.len() == length), "as large as the product");
    let blocks = |out: &mut [MaybeUninit<f32>],
                  fill: &(dyn Fn(&mut [MaybeUninit<f32>], usize) + Sync)| {
        out.par_chunks_mut(ROWS * width).enumerate().for_each(|(block, out)| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                fill(out, (block * ROWS + row) * width);
            }
        });
    };
    let write = |out: &mut [MaybeUninit<f32>]| {
        match (bias, onto) {
            // SAFETY: nothing is added.
            (None, None) => return unsafe { multiply(out, a, b, false) },
            (Some(bias), None) => blocks(out, &|row, _| {
                row.write_copy_of_slice(bias);
            }),
            (None, Some(onto)) => blocks(out, &|row, start| {
                row.write_copy_of_slice(&onto[start..start + width]);
            }),
            (Some(bias), Some(onto)) => blocks(out, &|row, start| {
                for ((value, bias), onto) in row.iter_mut().zip(bias).zip(&onto[start..]) {
                    value.write(onto + bias);
                }
            }),
        }
        // SAFETY: every row was written.
        unsafe { multiply(out, a, b, true) }
    };
    // SAFETY: a product writes every value.
    unsafe { written(length, write) }
}

/// Like [`product_onto`], for a training step, in [`tiles`] where those are faster. The bits of a row may then depend
/// on the number of rows, which is not acceptable for features of images.
pub(crate) fn training_product_onto(
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<&[f32]>,
    onto: Option<&[f32]>,
) -> Vec<f32> {
    if !tiles::suit(a, b) {
        return product_onto(a, b, bias, onto);
    }
    let write = |out: &mut [MaybeUninit<f32>]| {
        tiles::multiply(out, a, b, Onto { bias, matrix: onto });
    };
    // SAFETY: a product writes every value.
    unsafe { written(a.rows * b.columns, write) }
}

/// `out = a b`, or `out += a b`, row-major.
///
/// # Safety
///
/// To `add`, all of `out` was written.
unsafe fn multiply(out: &mut [MaybeUninit<f32>], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    assert_eq!(out.len(), a.rows * b.columns, "room for the product");
    let large = a.rows.saturating_mul(a.columns).saturating_mul(b.columns) >= PARALLEL;
    // SAFETY: `Matrix::new` made sure that both slices hold their matrices, and `out` is as large as the product. It
    // is read where `add` says so, and then the caller wrote it.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr().cast::<f32>(),
            1,
            b.columns as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0f32,
            1.0,
            false,
            false,
            false,
            if large { Parallelism::Rayon(0) } else { Parallelism::None },
        );
    }
}

/// The sum of the rows.
pub(crate) fn sum_of_rows(values: &[f32], width: usize) -> Vec<f32> {
    let parts: Vec<_> = values
        .par_chunks(ROWS * width)
        .map(|rows| {
            let mut total = vec![0.0; width];
            add_rows(&mut total, rows);
            total
        })
        .collect();
    let mut total = vec![0.0; width];
    // In the order of the rows, so that the result does not depend on threads.
    parts.iter().for_each(|part| add_rows(&mut total, part));
    total
}

vectorized! {
    fn add_rows<'a>(total: &'a mut [f32], rows: &'a [f32]) {
        for row in rows.chunks_exact(total.len()) {
            for (total, value) in total.iter_mut().zip(row) {
                *total += value;
            }
        }
    }
}
