//! The product with AVX512-BF16's `vdpbf16ps`, which adds two products of bf16 numbers to each f32 of a vector.
//!
//! A tile of 12 x 32 sums stays in registers from the first product to the last, so that each element of the output is
//! written once. The weight is stored in panels of 32 columns, two rows interleaved, in the order in which tiles read
//! it. Rows of `x` are rounded in groups small enough to leave room for a panel in the second-level cache.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::{MaybeUninit, transmute};

use half::bf16;
use rayon::prelude::*;

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
                unsafe { self.block(x, rounded, &block, &out) };
            });
        };
        // SAFETY: the blocks are all of the product, and tiles write all of their elements.
        unsafe { written(count * columns, write) }
    }

    /// The parts of a product with this many rows, for threads to take. The product does not depend on the parts.
    fn blocks(&self, count: usize) -> Vec<Block> {
        let panels = self.columns.div_ceil(TILE_COLUMNS);
        if count == 0 || panels == 0 {
            return Vec::new();
        }
        // Threads that are done take parts that others have not begun.
        let wanted = match rayon::current_num_threads() {
            1 => 1,
            threads => 4 * threads,
        };
        let most = (CACHE / (self.stride() * size_of::<Line>())).max(TILE_ROWS);
        let height = count.div_ceil(wanted).clamp(TILE_ROWS, most).next_multiple_of(TILE_ROWS);
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

    /// Computes a part of the product.
    ///
    /// # Safety
    ///
    /// The processor has the instruction. `x` has the block's rows, the block lies within `out`, and nobody else has its
    /// elements.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn block(&self, x: &[f32], rounded: &mut Vec<Line>, block: &Block, out: &Output<'_>) {
        let stride = self.stride();
        rounded.resize(block.rows.len() * stride, ZEROS);
        for (row, line) in x.chunks_exact(self.rows).zip(rounded.chunks_exact_mut(stride)) {
            round_row(row, line);
        }
        let lines = self.rows.div_ceil(2) * 2;
        for panel in block.panels.clone() {
            let weight = &self.lines[panel * lines..(panel + 1) * lines];
            for (number, x) in rounded.chunks(TILE_ROWS * stride).enumerate() {
                let at = [block.rows.start + number * TILE_ROWS, panel * TILE_COLUMNS];
                // SAFETY: there are as many rows as were rounded, each of `stride` lines, which hold a pair for every
                // two lines of the panel. The tile lies in the block.
                unsafe {
                    match x.len() / stride {
                        1 => tile::<1>(x, stride, weight, out, at),
                        2 => tile::<2>(x, stride, weight, out, at),
                        3 => tile::<3>(x, stride, weight, out, at),
                        4 => tile::<4>(x, stride, weight, out, at),
                        5 => tile::<5>(x, stride, weight, out, at),
                        6 => tile::<6>(x, stride, weight, out, at),
                        7 => tile::<7>(x, stride, weight, out, at),
                        8 => tile::<8>(x, stride, weight, out, at),
                        9 => tile::<9>(x, stride, weight, out, at),
                        10 => tile::<10>(x, stride, weight, out, at),
                        11 => tile::<11>(x, stride, weight, out, at),
                        _ => tile::<TILE_ROWS>(x, stride, weight, out, at),
                    }
                }
            }
        }
    }
}

/// A part of a product: rows, and panels of columns.
struct Block {
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

/// The destination of the product, and the terms that are added to it.
struct Output<'a> {
    first: *mut f32,
    columns: usize,
    bias: Option<&'a [f32]>,
    onto: Option<&'a [f32]>,
}

// SAFETY: threads write through the pointer only, each in a block of its own.
unsafe impl Sync for Output<'_> {}

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

/// `ROWS` rows of `x` with a panel of the weight, written at the row and column `at` of the product.
///
/// # Safety
///
/// The processor has the instruction. `x` has `ROWS` rows of `stride` lines, which hold a pair for every two lines of
/// `weight`. The tile lies within `out` but for columns past the last, and nobody else has its elements.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const ROWS: usize>(
    x: &[Line],
    stride: usize,
    weight: &[Line],
    out: &Output<'_>,
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
    let inside = (out.columns - column).min(TILE_COLUMNS);
    let mask = u32::MAX >> (TILE_COLUMNS - inside);
    for (half, mask) in [mask as u16, (mask >> 16) as u16].into_iter().enumerate() {
        let column = column + 16 * half;
        for (tile_row, sums) in sums.iter().enumerate() {
            let first = (row + tile_row) * out.columns;
            let mut sum = sums[half];
            // SAFETY: where the mask has a bit, the column is one of the product; elsewhere nothing is read or written.
            unsafe {
                if let Some(onto) = out.onto {
                    let onto = onto.as_ptr().wrapping_add(first + column);
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, onto));
                }
                if let Some(bias) = out.bias {
                    let bias = bias.as_ptr().wrapping_add(column);
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias));
                }
                _mm512_mask_storeu_ps(out.first.wrapping_add(first + column), mask, sum);
            }
        }
    }
}
