//! The product with AVX512-BF16's `vdpbf16ps`, which adds two products of bf16 numbers to each f32 of a vector.
//!
//! A tile of 12 x 32 sums stays in registers from the first product to the last, so that each element of the output is
//! written once. The weight is stored in panels of 32 columns, two rows interleaved, in the order in which tiles read
//! it. Rows of `x` are rounded in groups small enough to leave room for a panel in the second-level cache.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::super::activation::quick_gelu_of;
use super::super::written;

/// Rows and columns of a tile: 24 vectors of sums, two of the weight and one of `x` are 27 of 32 registers.
const TILE_ROWS: usize = 12;
const TILE_COLUMNS: usize = 32;
/// Half of a second-level cache of 1 MiB.
const CACHE: usize = 1 << 19;
/// The number of columns for which rounding `x` again on another thread pays off.
const SHARE: usize = 256;

/// 32 bf16 numbers: a vector, and a line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u16; 32]);

const ZEROS: Line = Line([0; 32]);

/// Whether the processor has the instruction.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

/// A weight in panels of 32 columns: of two rows at a time, the pairs of 16 columns in a line, and those of the other
/// 16. Columns and rows beyond the matrix are zero. Its existence shows that the processor has the instruction.
pub(super) struct Panels {
    rows: usize,
    columns: usize,
    lines: Vec<Line>,
}

impl Panels {
    /// Packs values given row by row; `None` if the processor lacks the instruction.
    pub(super) fn new(values: &[f32], [rows, columns]: [usize; 2]) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let pairs = rows.div_ceil(2);
        let mut lines = vec![ZEROS; columns.div_ceil(TILE_COLUMNS) * pairs * 2];
        lines.par_chunks_mut((pairs * 2).max(1)).enumerate().for_each(|(panel, lines)| {
            let first = panel * TILE_COLUMNS;
            let width = TILE_COLUMNS.min(columns - first);
            for (row, values) in values.chunks_exact(columns).enumerate() {
                for (at, &value) in values[first..first + width].iter().enumerate() {
                    let line = &mut lines[row / 2 * 2 + at / 16];
                    line.0[at % 16 * 2 + row % 2] = bf16::from_f32(value).to_bits();
                }
            }
        });
        Some(Self { rows, columns, lines })
    }

    /// `x W`, with `bias` added to each row, and `onto`; the caller checked the lengths.
    pub(super) fn product_onto(
        &self,
        x: &[f32],
        bias: Option<&[f32]>,
        onto: Option<&[f32]>,
    ) -> Vec<f32> {
        let &Self { rows, columns, .. } = self;
        let count = x.len() / rows;
        assert_eq!(x.len(), count * rows, "whole rows");
        assert!(bias.is_none_or(|bias| bias.len() == columns), "as long as a row");
        assert!(onto.is_none_or(|onto| onto.len() == count * columns), "as large as the product");
        let write = |out: &mut [MaybeUninit<f32>]| {
            let out = Output { first: out.as_mut_ptr().cast(), columns, bias, onto };
            self.blocks(count).into_par_iter().for_each_init(Vec::new, |rounded, block| {
                let x = &x[block.rows.start * rows..block.rows.end * rows];
                // SAFETY: `new` found the instruction. The lengths were checked above, blocks lie within the product,
                // and no two of them have an element in common.
                unsafe {
                    self.round(x, rounded);
                    self.products(rounded, block.panels, block.rows.start, &out);
                }
            });
        };
        // SAFETY: the blocks are all of the product, and tiles write all of their elements.
        unsafe { written(count * columns, write) }
    }

    /// `quick_gelu(x W + bias) V`, with `next_bias` added to each row, and `onto`; the caller checked the lengths. `V`
    /// is `next`. `None` if `x` has too few rows for all threads.
    ///
    /// The rows between the two products stay in the second-level cache: they are never written to memory, nor
    /// rounded again.
    pub(super) fn feed_forward(
        &self,
        next: &Self,
        x: &[f32],
        [bias, next_bias]: [Option<&[f32]>; 2],
        onto: Option<&[f32]>,
    ) -> Option<Vec<f32>> {
        let (rows, columns) = (self.rows, next.columns);
        let count = x.len() / rows;
        assert!(x.len() == count * rows && self.columns == next.rows, "whole rows");
        assert!(bias.is_none_or(|bias| bias.len() == self.columns), "as long as a row");
        assert!(next_bias.is_none_or(|bias| bias.len() == columns), "as long as a row");
        assert!(onto.is_none_or(|onto| onto.len() == count * columns), "as large as the product");
        let threads = rayon::current_num_threads();
        if count < 2 * threads * TILE_ROWS {
            return None;
        }
        let height = count.div_ceil(wanted(threads)).clamp(TILE_ROWS, next.most_rows());
        let height = height.next_multiple_of(TILE_ROWS);
        let write = |out: &mut [MaybeUninit<f32>]| {
            let out = Output { first: out.as_mut_ptr().cast(), columns, bias: next_bias, onto };
            let blocks = (0..count.div_ceil(height)).into_par_iter();
            blocks.for_each_init(
                || (Vec::new(), Vec::new()),
                |(rounded, hidden), block| {
                    let first = block * height;
                    let x = &x[first * rows..(first + height).min(count) * rows];
                    let stride = next.stride();
                    hidden.resize(x.len() / rows * stride, ZEROS);
                    let wide =
                        Hidden { first: hidden.as_mut_ptr(), stride, columns: self.columns, bias };
                    // SAFETY: `new` found the instruction. The lengths were checked above. `hidden` has the block's
                    // rows with a line for each panel; blocks lie within the product, and have no row in common.
                    unsafe {
                        self.round(x, rounded);
                        self.products(rounded, self.panels(), 0, &wide);
                        next.products(hidden, next.panels(), first, &out);
                    }
                },
            );
        };
        // SAFETY: the blocks are all of the product, and tiles write all of their elements.
        Some(unsafe { written(count * columns, write) })
    }

    /// The parts of a product with this many rows, for threads to take. The product does not depend on the parts.
    fn blocks(&self, count: usize) -> Vec<Block> {
        let panels = self.columns.div_ceil(TILE_COLUMNS);
        if count == 0 || panels == 0 {
            return Vec::new();
        }
        let wanted = wanted(rayon::current_num_threads());
        let height = count.div_ceil(wanted).clamp(TILE_ROWS, self.most_rows());
        let height = height.next_multiple_of(TILE_ROWS);
        let across = (self.columns / SHARE).clamp(1, wanted.div_ceil(count.div_ceil(height)));
        let width = panels.div_ceil(across);
        let below = (0..count).step_by(height).map(|row| row..(row + height).min(count));
        below
            .flat_map(|rows| {
                let panels = (0..panels).step_by(width).map(move |it| it..(it + width).min(panels));
                panels.map(move |panels| Block { rows: rows.clone(), panels })
            })
            .collect()
    }

    /// Lines of a rounded row. One more than needed, so that rows do not compete for the same cache sets.
    fn stride(&self) -> usize {
        self.rows.div_ceil(32) + 1
    }

    /// The number of rounded rows that leave room for a panel in the cache.
    fn most_rows(&self) -> usize {
        (CACHE / (self.stride() * size_of::<Line>())).max(TILE_ROWS)
    }

    fn panels(&self) -> Range<usize> {
        0..self.columns.div_ceil(TILE_COLUMNS)
    }

    /// Rounds rows of `x` to lines, [`Self::stride`] for each.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn round(&self, x: &[f32], rounded: &mut Vec<Line>) {
        let stride = self.stride();
        rounded.resize(x.len() / self.rows * stride, ZEROS);
        for (row, line) in x.chunks_exact(self.rows).zip(rounded.chunks_exact_mut(stride)) {
            round_row(row, line);
        }
    }

    /// Multiplies rounded rows, the first of which is row `first` of the product, with these panels.
    ///
    /// # Safety
    ///
    /// The processor has the instruction. `rounded` has whole rows of [`Self::stride`] lines, which hold a pair for
    /// every two lines of a panel. The rows and panels are places of `to`, and nobody else has them.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn products(
        &self,
        rounded: &[Line],
        panels: Range<usize>,
        first: usize,
        to: &impl Place,
    ) {
        let stride = self.stride();
        let lines = self.rows.div_ceil(2) * 2;
        for panel in panels {
            let weight = &self.lines[panel * lines..(panel + 1) * lines];
            for (number, x) in rounded.chunks(TILE_ROWS * stride).enumerate() {
                let at = [first + number * TILE_ROWS, panel * TILE_COLUMNS];
                // SAFETY: what the caller promises of all rows and panels holds for these.
                unsafe {
                    match x.len() / stride {
                        1 => tile::<1>(x, stride, weight, to, at),
                        2 => tile::<2>(x, stride, weight, to, at),
                        3 => tile::<3>(x, stride, weight, to, at),
                        4 => tile::<4>(x, stride, weight, to, at),
                        5 => tile::<5>(x, stride, weight, to, at),
                        6 => tile::<6>(x, stride, weight, to, at),
                        7 => tile::<7>(x, stride, weight, to, at),
                        8 => tile::<8>(x, stride, weight, to, at),
                        9 => tile::<9>(x, stride, weight, to, at),
                        10 => tile::<10>(x, stride, weight, to, at),
                        11 => tile::<11>(x, stride, weight, to, at),
                        _ => tile::<TILE_ROWS>(x, stride, weight, to, at),
                    }
                }
            }
        }
    }
}

/// The number of parts for so many threads: those that are done take parts that others have not begun.
fn wanted(threads: usize) -> usize {
    match threads {
        1 => 1,
        threads => 4 * threads,
    }
}

/// A part of a product: rows, and panels of columns.
struct Block {
    rows: Range<usize>,
    panels: Range<usize>,
}

/// The destination of tiles.
trait Place {
    /// Takes a row of a tile: 32 sums, of which the first is at this row and column.
    ///
    /// # Safety
    ///
    /// The processor has the instruction, and nobody else has these places.
    unsafe fn take(&self, row: usize, column: usize, sums: [__m512; 2]);
}

/// A product in memory, and the terms that are added to it. Columns past the last are left out.
struct Output<'a> {
    first: *mut f32,
    columns: usize,
    bias: Option<&'a [f32]>,
    onto: Option<&'a [f32]>,
}

// SAFETY: threads write through the pointer only, each in rows or panels of its own.
unsafe impl Sync for Output<'_> {}

impl Place for Output<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn take(&self, row: usize, column: usize, sums: [__m512; 2]) {
        let mask = inside(self.columns - column);
        let first = row * self.columns + column;
        for (at, mut sum) in sums.into_iter().enumerate() {
            let (mask, at) = (mask[at], 16 * at);
            // SAFETY: where the mask has a bit, the column is one of the product; elsewhere nothing is read or written.
            unsafe {
                if let Some(onto) = self.onto {
                    let onto = onto.as_ptr().wrapping_add(first + at);
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, onto));
                }
                if let Some(bias) = self.bias {
                    let bias = bias.as_ptr().wrapping_add(column + at);
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias));
                }
                _mm512_mask_storeu_ps(self.first.wrapping_add(first + at), mask, sum);
            }
        }
    }
}

/// Rounded rows for the next product: `quick_gelu` of the sums with `bias`. Columns past the last get zeros.
struct Hidden<'a> {
    first: *mut Line,
    stride: usize,
    columns: usize,
    bias: Option<&'a [f32]>,
}

impl Place for Hidden<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn take(&self, row: usize, column: usize, mut sums: [__m512; 2]) {
        if let Some(bias) = self.bias {
            let mask = inside(self.columns - column);
            for (at, sum) in sums.iter_mut().enumerate() {
                let bias = bias.as_ptr().wrapping_add(column + 16 * at);
                // SAFETY: where the mask has a bit, there is a number; elsewhere nothing is read.
                *sum = _mm512_add_ps(*sum, unsafe { _mm512_maskz_loadu_ps(mask[at], bias) });
            }
        }
        // SAFETY: a vector is 16 numbers, and a line is as large as a vector of 32 bf16 numbers. There is a line for
        // each row and 32 columns.
        unsafe {
            let mut values = transmute::<[__m512; 2], [f32; 32]>(sums);
            for value in &mut values {
                *value = quick_gelu_of(*value);
            }
            let [low, high] = transmute::<[f32; 32], [__m512; 2]>(values);
            let line = transmute::<__m512bh, Line>(_mm512_cvtne2ps_pbh(high, low));
            *self.first.add(row * self.stride + column / TILE_COLUMNS) = line;
        }
    }
}

/// The bits of the first `columns` of 32 places, 16 by 16.
fn inside(columns: usize) -> [u16; 2] {
    let mask = u32::MAX >> (TILE_COLUMNS - columns.min(TILE_COLUMNS));
    [mask as u16, (mask >> 16) as u16]
}

/// Rounds a row, to the nearest and then even. The last pair is filled up with zero.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_row(row: &[f32], lines: &mut [Line]) {
    let (whole, rest) = row.as_chunks::<32>();
    for (values, line) in whole.iter().zip(&mut *lines) {
        // SAFETY: 32 numbers are two vectors of 16, and a line is as large as a vector of 32 bf16 numbers.
        unsafe {
            let [low, high] = [0, 16].map(|at| _mm512_loadu_ps(values.as_ptr().add(at)));
            *line = transmute::<__m512bh, Line>(_mm512_cvtne2ps_pbh(high, low));
        }
    }
    if !rest.is_empty() {
        let mut last = ZEROS;
        for (out, &value) in last.0.iter_mut().zip(rest) {
            *out = bf16::from_f32(value).to_bits();
        }
        lines[whole.len()] = last;
    }
}

/// `ROWS` rows of `x` with a panel of the weight, for the rows and columns from `at` on.
///
/// # Safety
///
/// The processor has the instruction. `x` has `ROWS` rows of `stride` lines, which hold a pair for every two lines of
/// `weight`. The rows and the panel are places of `to`, and nobody else has them.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const ROWS: usize>(
    x: &[Line],
    stride: usize,
    weight: &[Line],
    to: &impl Place,
    [row, column]: [usize; 2],
) {
    debug_assert!(x.len() == ROWS * stride && weight.len().div_ceil(32) < stride);
    let x = x.as_ptr().cast::<i32>();
    // Pairs of a row.
    let stride = stride * 16;
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for (pair, lines) in weight.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: lines are as large as vectors, and rows of `x` have a pair for every two of them.
        unsafe {
            let [left, right] = [0, 1].map(|at| transmute::<Line, __m512bh>(lines[at]));
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(*x.add(row * stride + pair));
                let x = transmute::<__m512i, __m512bh>(x);
                sums[0] = _mm512_dpbf16_ps(sums[0], left, x);
                sums[1] = _mm512_dpbf16_ps(sums[1], right, x);
            }
        }
    }
    for (tile_row, sums) in sums.into_iter().enumerate() {
        // SAFETY: the caller promises it of all rows.
        unsafe { to.take(row + tile_row, column, sums) };
    }
}
