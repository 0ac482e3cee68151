//! The tiled product of two matrices, for products with few rows: there the `gemm` crate spends most of its time on
//! laying out the right matrix; it is as fast from about a thousand rows on. docs/decisions/0021 has figures.
//!
//! A tile's sums stay in registers: 12 rows of two vectors with 32 registers, 6 with 16. The right matrix is copied
//! once, in panels of two vectors, in the order in which tiles read it. A thread copies rows of the left matrix in
//! groups small enough to leave room for a panel in its second-level cache. The terms that the product is added to are
//! read when tiles are written.
//!
//! An element depends neither on other elements nor on the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Matrix, PARALLEL};
use crate::slices::written;

/// Vectors of a tile's row.
const VECTORS: usize = 2;
/// Rows of a tile with 32 registers.
const ROWS: usize = 12;
/// Products that are added in registers before the sums are written.
const DEPTH: usize = 512;
/// Values of the left matrix that a thread copies at a time: 256 KiB.
const KEPT: usize = 1 << 16;
/// Parts of the product per thread, so that a thread that is done takes parts that others have not begun.
const PARTS: usize = 4;
/// Panels that a thread copies at a time: rows of them are read together.
const PANELS: usize = 8;
/// With more rows than this, `gemm` is as fast.
const MOST_ROWS: usize = 1024;
/// Laying out a right matrix with fewer values than this takes no time.
const LEAST: usize = 1 << 14;

/// A line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// The terms that the product is added to.
#[derive(Clone, Copy)]
pub(super) struct Onto<'a> {
    /// The row added to each row.
    pub(super) bias: Option<&'a [f32]>,
    /// The matrix.
    pub(super) matrix: Option<&'a [f32]>,
}

/// Whether tiles are faster: with few rows, and a right matrix that is not tiny.
pub(super) fn suit(a: Matrix<'_>, b: Matrix<'_>) -> bool {
    (8..=MOST_ROWS).contains(&a.rows) && b.columns >= 16 && b.rows * b.columns >= LEAST
}

/// `out = a b`, plus the terms in `onto`: row-major, all of `out`.
pub(super) fn multiply(out: &mut [MaybeUninit<f32>], a: Matrix<'_>, b: Matrix<'_>, onto: Onto<'_>) {
    multiply_on(Arch::new(), out, a, b, onto);
}

fn multiply_on(
    arch: Arch,
    out: &mut [MaybeUninit<f32>],
    a: Matrix<'_>,
    b: Matrix<'_>,
    onto: Onto<'_>,
) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    assert_eq!(out.len(), a.rows * b.columns, "room for the product");
    assert!(a.columns > 0, "something to add up");
    assert!(onto.bias.is_none_or(|bias| bias.len() == b.columns), "as long as a row");
    assert!(onto.matrix.is_none_or(|onto| onto.len() == out.len()), "as large as the product");
    let large = a.rows.saturating_mul(a.columns).saturating_mul(b.columns) >= PARALLEL;
    let threads = if large { rayon::current_num_threads() } else { 1 };
    let right = Panels::copy(arch, b, threads);
    let out = Output(out.as_mut_ptr().cast());
    let part = |left: &mut Vec<Line>, (rows, columns)| {
        arch.dispatch(Part { a, right: &right, onto, out, rows, columns, left });
    };
    let parts = parts([a.rows, b.columns], a.columns, threads);
    match threads {
        1 => {
            let mut left = Vec::new();
            parts.into_iter().for_each(|it| part(&mut left, it));
        }
        _ => parts.into_par_iter().for_each_init(Vec::new, part),
    }
}

/// Ranges of rows and columns for the parts of a product of this size, for threads to take.
fn parts(
    [rows, columns]: [usize; 2],
    depth: usize,
    threads: usize,
) -> Vec<(Range<usize>, Range<usize>)> {
    let wanted = if threads == 1 { 1 } else { PARTS * threads };
    let most = KEPT / depth.min(DEPTH);
    let height = rows.div_ceil(rows.div_ceil(most)).next_multiple_of(ROWS);
    let across = wanted.div_ceil(rows.div_ceil(height)).min(columns.div_ceil(4 * LINE));
    let width = columns.div_ceil(across).next_multiple_of(VECTORS * LINE);
    let cut = |total: usize, step: usize| {
        (0..total).step_by(step).map(move |at| at..(at + step).min(total))
    };
    cut(rows, height)
        .flat_map(|rows| cut(columns, width).map(move |it| (rows.clone(), it)))
        .collect()
}

/// The ranges of depth whose products are added at a time.
fn rounds(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let step = depth.div_ceil(depth.div_ceil(DEPTH)).next_multiple_of(LINE);
    (0..depth).step_by(step).map(move |start| start..(start + step).min(depth))
}

/// The destination of values.
#[derive(Clone, Copy)]
struct Output(*mut f32);

// SAFETY: threads write through the pointer only, each in a part of its own.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// The columns of a panel.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

/// The copied right matrix: for each round the panels in order, and for each panel its rows in order. Columns beyond
/// the matrix are zero.
struct Panels {
    lines: Vec<Line>,
    columns: usize,
    /// Columns of a panel.
    width: usize,
}

impl Panels {
    fn copy(arch: Arch, b: Matrix<'_>, threads: usize) -> Self {
        let width = arch.dispatch(Width);
        let count = b.columns.div_ceil(width);
        let values = count * width * b.rows;
        let group = |depth: Range<usize>| {
            let groups = (0..count).step_by(PANELS);
            groups.map(move |first| (depth.clone(), first..(first + PANELS).min(count)))
        };
        let groups: Vec<_> = rounds(b.rows).flat_map(group).collect();
        let write = |lines: &mut [MaybeUninit<Line>]| {
            // Padding for panels that are not full.
            lines[lines.len() - 1].write(Line([0.0; LINE]));
            let to = Output(lines.as_mut_ptr().cast());
            let copy = |(depth, panels)| arch.dispatch(Copying { b, to, depth, panels });
            match threads {
                1 => groups.into_iter().for_each(copy),
                _ => groups.into_par_iter().for_each(copy),
            }
        };
        // SAFETY: the groups are all panels of all rounds.
        let lines = unsafe { written(values.div_ceil(LINE), write) };
        Self { lines, columns: b.columns, width }
    }

    /// A panel of a round, from its first column.
    fn panel(&self, depth: &Range<usize>, column: usize) -> &[f32] {
        let panels = self.columns.div_ceil(self.width);
        let first = (depth.start * panels + column / self.width * depth.len()) * self.width;
        // SAFETY: a line is 16 values, without gaps.
        let values: &[f32] = unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE)
        };
        &values[first..first + depth.len() * self.width]
    }
}

/// Some panels of a round, exclusively for this thread.
struct Copying<'a> {
    b: Matrix<'a>,
    to: Output,
    depth: Range<usize>,
    panels: Range<usize>,
}

impl WithSimd for Copying<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { b, to, depth, panels } = self;
        let width = VECTORS * S::F32_LANES;
        let first = depth.start * b.columns.div_ceil(width) * width;
        // The columns of a panel, and the offset of `rows` in it.
        let place = |panel: usize, row: usize, rows: usize| {
            let columns = panel * width..((panel + 1) * width).min(b.columns);
            let at = first + (panel * depth.len() + row) * width;
            // SAFETY: there is room for all panels of all rounds, and only one thread has these.
            let to = unsafe {
                std::slice::from_raw_parts_mut(
                    to.0.add(at).cast::<MaybeUninit<f32>>(),
                    rows * width,
                )
            };
            if columns.len() < width {
                to.fill(MaybeUninit::new(0.0));
            }
            (columns, to)
        };
        if b.column_stride == 1 {
            for (row, k) in depth.clone().enumerate() {
                let from = &b.values[k * b.row_stride..];
                for panel in panels.clone() {
                    let (columns, to) = place(panel, row, 1);
                    match columns.len() == width {
                        true => to.write_copy_of_slice(&from[columns.start..columns.start + width]),
                        false => to[..columns.len()].write_copy_of_slice(&from[columns]),
                    };
                }
            }
            return;
        }
        for panel in panels {
            let (columns, to) = place(panel, 0, depth.len());
            let from = &b.values[depth.start * b.row_stride + columns.start * b.column_stride..];
            #[cfg(target_arch = "x86_64")]
            if b.row_stride == 1 && is_x86_feature_detected!("avx") {
                // SAFETY: the processor has AVX.
                unsafe {
                    transpose(from, b.column_stride, [depth.len(), columns.len()], to, width)
                };
                continue;
            }
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                for (column, to) in to[..columns.len()].iter_mut().enumerate() {
                    to.write(from[k * b.row_stride + column * b.column_stride]);
                }
            }
        }
    }
}

/// A part of a product, exclusively for this thread.
struct Part<'a> {
    a: Matrix<'a>,
    right: &'a Panels,
    onto: Onto<'a>,
    out: Output,
    rows: Range<usize>,
    columns: Range<usize>,
    left: &'a mut Vec<Line>,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, right, onto, out, rows, columns, left } = self;
        let width = VECTORS * S::F32_LANES;
        let height = if S::REGISTER_COUNT >= 32 { ROWS } else { ROWS / 2 };
        for depth in rounds(a.columns) {
            let left = Left::copy(a, rows.clone(), depth.clone(), height, left);
            let again = depth.start > 0;
            let onto = if again { Onto { bias: None, matrix: None } } else { onto };
            for column in columns.clone().step_by(width) {
                let panel = right.panel(&depth, column);
                let columns = column..(column + width).min(columns.end);
                for first in (0..rows.len()).step_by(height) {
                    let count = height.min(rows.len() - first);
                    let (row, columns) = (rows.start + first, columns.clone());
                    let at = Place { row, columns, width: right.columns, onto, again, out };
                    // SAFETY: `left` has so many rows from `first` on. The tile lies in this part, which an earlier
                    // round wrote if there was one.
                    unsafe { tiles(simd, count, &left, first, panel, depth.len(), &at) }
                }
            }
        }
    }
}

/// Rows of the left matrix, copied.
struct Left<'a> {
    values: &'a [Line],
    /// Values from an element to that of the next row; `None` if tiles are consecutive, each column by column.
    stride: Option<usize>,
}

impl<'a> Left<'a> {
    #[inline(always)]
    fn copy(
        a: Matrix<'_>,
        rows: Range<usize>,
        depth: Range<usize>,
        height: usize,
        lines: &'a mut Vec<Line>,
    ) -> Self {
        if a.column_stride == 1 {
            // One line more than needed, so that rows do not compete for the same cache sets.
            let stride = depth.len().next_multiple_of(LINE) + LINE;
            let to = room(lines, rows.len() * stride);
            for (to, row) in to.chunks_exact_mut(stride).zip(rows) {
                let from = row * a.row_stride;
                to[..depth.len()].copy_from_slice(&a.values[from + depth.start..from + depth.end]);
            }
            return Self { values: lines, stride: Some(stride) };
        }
        let to = room(lines, rows.len() * depth.len());
        for (tile, to) in
            to.chunks_mut(height * depth.len()).enumerate().take(rows.len().div_ceil(height))
        {
            let first = rows.start + tile * height;
            let count = height.min(rows.end - first);
            for (to, k) in to.chunks_exact_mut(count).zip(depth.clone()) {
                let from = &a.values[first * a.row_stride + k * a.column_stride..];
                match a.row_stride {
                    1 => to.copy_from_slice(&from[..count]),
                    stride => {
                        to.iter_mut().enumerate().for_each(|(row, to)| *to = from[row * stride]);
                    }
                }
            }
        }
        Self { values: lines, stride: None }
    }
}

/// A buffer of this many values, not cleared.
fn room(lines: &mut Vec<Line>, values: usize) -> &mut [f32] {
    lines.resize(values.div_ceil(LINE), Line([0.0; LINE]));
    // SAFETY: a line is 16 values, without gaps.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), values) }
}

/// `to[k * width + column] = from[column * stride + k]`, eight by eight.
///
/// # Safety
///
/// The processor has AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn transpose(
    from: &[f32],
    stride: usize,
    [depth, columns]: [usize; 2],
    to: &mut [MaybeUninit<f32>],
    width: usize,
) {
    use std::arch::x86_64::*;
    assert!(columns <= width && to.len() >= depth * width, "room for the panel");
    assert!(columns == 0 || from.len() >= (columns - 1) * stride + depth, "so many columns");
    let whole = (depth / 8 * 8, columns / 8 * 8);
    for k in (0..whole.0).step_by(8) {
        for column in (0..whole.1).step_by(8) {
            // SAFETY: the block lies in both, by the assertions above.
            unsafe {
                let from = from.as_ptr().add(column * stride + k);
                let r: [__m256; 8] =
                    std::array::from_fn(|at| _mm256_loadu_ps(from.add(at * stride)));
                let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let ((t0, t1), (t2, t3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
                let ((t4, t5), (t6, t7)) = (pair(r[4], r[5]), pair(r[6], r[7]));
                let four =
                    |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
                let ((s0, s1), (s2, s3)) = (four(t0, t2), four(t1, t3));
                let ((s4, s5), (s6, s7)) = (four(t4, t6), four(t5, t7));
                let out = [
                    _mm256_permute2f128_ps::<0x20>(s0, s4),
                    _mm256_permute2f128_ps::<0x20>(s1, s5),
                    _mm256_permute2f128_ps::<0x20>(s2, s6),
                    _mm256_permute2f128_ps::<0x20>(s3, s7),
                    _mm256_permute2f128_ps::<0x31>(s0, s4),
                    _mm256_permute2f128_ps::<0x31>(s1, s5),
                    _mm256_permute2f128_ps::<0x31>(s2, s6),
                    _mm256_permute2f128_ps::<0x31>(s3, s7),
                ];
                let to = to.as_mut_ptr().add(k * width + column).cast::<f32>();
                for (row, values) in out.into_iter().enumerate() {
                    _mm256_storeu_ps(to.wrapping_add(row * width), values);
                }
            }
        }
    }
    for k in 0..depth {
        let column = if k < whole.0 { whole.1 } else { 0 };
        for column in column..columns {
            to[k * width + column].write(from[column * stride + k]);
        }
    }
}

/// The position of a tile.
struct Place<'a> {
    /// Its first row.
    row: usize,
    columns: Range<usize>,
    /// Values from a row of the product to the next.
    width: usize,
    onto: Onto<'a>,
    /// Whether it is added to the existing values.
    again: bool,
    out: Output,
}

/// A tile of `count` rows.
///
/// # Safety
///
/// `left` has so many rows from `first` on, each of `depth`. The tile lies within the product, nobody else has it, and it
/// was written if it is to be added `again`.
#[inline(always)]
unsafe fn tiles<S: Simd>(
    simd: S,
    count: usize,
    left: &Left<'_>,
    first: usize,
    panel: &[f32],
    depth: usize,
    at: &Place<'_>,
) {
    let (left, stride) = match left.stride {
        Some(stride) => {
            (left.values.as_ptr().cast::<f32>().wrapping_add(first * stride), Some(stride))
        }
        None => (left.values.as_ptr().cast::<f32>().wrapping_add(first * depth), None),
    };
    assert_eq!(panel.len(), depth * VECTORS * S::F32_LANES, "vectors for each row");
    let panel = panel.as_ptr();
    macro_rules! of_rows {
        ($($rows:literal)*) => {
            match (count, stride) {
                $(
                    ($rows, Some(stride)) => tile::<S, $rows>(simd, |row, k| left.wrapping_add(row * stride + k), panel, depth, at),
                    ($rows, None) => tile::<S, $rows>(simd, |row, k| left.wrapping_add(k * $rows + row), panel, depth, at),
                )*
                _ => unreachable!("no tile is higher"),
            }
        };
    }
    // SAFETY: as the caller says.
    unsafe { of_rows!(1 2 3 4 5 6 7 8 9 10 11 12) }
}

/// # Safety
///
/// `left` leads to `HEIGHT` rows of `depth` values, and `panel` to `VECTORS` vectors for each of them; the rest as in
/// [`tiles`].
#[inline(always)]
unsafe fn tile<S: Simd, const HEIGHT: usize>(
    simd: S,
    left: impl Fn(usize, usize) -> *const f32,
    panel: *const f32,
    depth: usize,
    at: &Place<'_>,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
    for k in 0..depth {
        // SAFETY: as the caller says.
        unsafe {
            let panel = panel.add(k * VECTORS * S::F32_LANES).cast::<S::f32s>();
            let right = [panel.read_unaligned(), panel.add(1).read_unaligned()];
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = simd.splat_f32s(*left(row, k));
                sums[0] = simd.mul_add_e_f32s(x, right[0], sums[0]);
                sums[1] = simd.mul_add_e_f32s(x, right[1], sums[1]);
            }
        }
    }
    for (vector, column) in (at.columns.start..at.columns.end).step_by(S::F32_LANES).enumerate() {
        let inside = S::F32_LANES.min(at.columns.end - column);
        let mask = simd.mask_between_m32s(0, inside as u32);
        for (row, sums) in sums.iter().enumerate() {
            let place = (at.row + row) * at.width + column;
            let out = at.out.0.wrapping_add(place);
            let mut sum = sums[vector];
            // SAFETY: where the mask has a bit, the column is one of the product; elsewhere nothing is read or written.
            unsafe {
                let mut add = |from: *const f32| {
                    let from = match inside == S::F32_LANES {
                        true => from.cast::<S::f32s>().read_unaligned(),
                        false => simd.mask_load_ptr_f32s(mask, from),
                    };
                    sum = simd.add_f32s(sum, from);
                };
                if let Some(matrix) = at.onto.matrix {
                    add(matrix.as_ptr().wrapping_add(place));
                }
                if let Some(bias) = at.onto.bias {
                    add(bias.as_ptr().wrapping_add(column));
                }
                if at.again {
                    add(out);
                }
                match inside == S::F32_LANES {
                    true => out.cast::<S::f32s>().write_unaligned(sum),
                    false => simd.mask_store_ptr_f32s(mask, out, sum),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
