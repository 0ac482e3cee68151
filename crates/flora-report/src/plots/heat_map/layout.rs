//! Where everything goes, in pixels.

use super::{
    super::{
        canvas::Area,
        text::{self, Direction, line_height, shorten, width, wrap},
    },
    HeatMap,
};

/// What the longer side of the matrix may take, and the largest cell.
const MATRIX: u32 = 1600;
const CELL: u32 = 110;
/// Where cells need not be square: the highest, and what a matrix of fewer rows or columns than the
/// other side has is stretched to, if its cells may grow so far.
const ROW: u32 = 40;
const STRETCHED: u32 = 600;
/// How much longer than the other a side of a cell may be without being stretched.
const SLENDER: u32 = 4;
/// Sizes of text in pixels an em: titles; axes and large labels; the smallest labels.
pub(super) const TITLE: f32 = 28.0;
pub(super) const TEXT: f32 = 22.0;
const SMALLEST: f32 = 11.0;
/// The longest label, in ems.
const LABEL: f32 = 14.0;
/// What the name of the columns' axis and the title may take if the matrix is narrower.
pub(super) const AXIS: u32 = 260;
const TITLE_WIDTH: u32 = 640;
const TITLE_LINES: usize = 3;
/// Around everything, and between things.
const MARGIN: u32 = 28;
pub(super) const GAP: u32 = 10;
const BAR: u32 = 26;
/// From one label of the colour bar to the next, at least.
const BAR_STEP: u32 = 50;

pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) title: Vec<String>,
    pub(super) matrix: Area,
    /// Width and height of a cell.
    pub(super) cell: (u32, u32),
    pub(super) row_label_size: f32,
    pub(super) column_label_size: f32,
    /// Which rows and columns have a label.
    pub(super) row_labels: Vec<(usize, String)>,
    pub(super) column_labels: Vec<(usize, String)>,
    /// The names of the axes; they tell where not every row or column has a label.
    pub(super) row_axis: String,
    pub(super) column_axis: String,
    /// That of the columns' labels.
    pub(super) direction: Direction,
    /// The middle lines of the names of the axes.
    pub(super) row_axis_x: f32,
    pub(super) column_axis_y: f32,
    pub(super) bar: Area,
    /// From the bottom, evenly spaced; two or more.
    pub(super) bar_labels: Vec<String>,
    /// The middle line of the name of the scale.
    pub(super) scale_x: f32,
}

impl Layout {
    pub(super) fn new(map: &HeatMap<'_>) -> Self {
        let (rows, columns) = (map.rows.len() as u32, map.columns.len() as u32);
        let cell = cell(rows, columns, map.square);
        let (matrix_width, matrix_height) = (columns * cell.0, rows * cell.1);
        let label_size = |room: u32| (0.8 * room as f32).clamp(SMALLEST, TEXT);
        let (row_label_size, label_size) = (label_size(cell.1), label_size(cell.0));
        let row_labels = labels(map.rows, cell.1, row_label_size);
        let column_labels = labels(map.columns, cell.0, label_size);
        let direction = direction(&column_labels, cell.0, label_size);

        let text_height = line_height(TEXT);
        let row_label_width = widest(row_labels.iter().map(|(_, name)| name), row_label_size);
        let mut left = MARGIN + text_height + GAP + row_label_width + GAP;
        if direction == Direction::Slanted {
            // Slanted labels begin to the left of their columns.
            let overhang = |(column, name): &(usize, String)| {
                let reach = width(name, label_size) * std::f32::consts::FRAC_1_SQRT_2;
                let x = (*column as u32 * cell.0 + cell.0 / 2) as f32;
                MARGIN + (reach - x).max(0.0).ceil() as u32
            };
            left = column_labels.iter().map(overhang).fold(left, u32::max);
        }
        let bar_labels = bar_labels(map.range, map.decimals, matrix_height);
        let bar_label_width = widest(bar_labels.iter(), TEXT);
        let right = 3 * GAP + BAR + GAP + bar_label_width + GAP + text_height + MARGIN;

        let mut full_width = left + matrix_width + right;
        let room = full_width.max(TITLE_WIDTH) - 2 * MARGIN;
        let title = wrap(map.title, TITLE, room as f32, TITLE_LINES);
        let wanted = widest(title.iter(), TITLE) + 2 * MARGIN;
        if wanted > full_width {
            left += (wanted - full_width) / 2;
            full_width = wanted;
        }

        let title_height = title.len() as u32 * line_height(TITLE);
        let top = MARGIN + title_height + if title.is_empty() { 0 } else { 2 * GAP };
        let longest = widest(column_labels.iter().map(|(_, name)| name), label_size);
        let labels_height = match direction {
            Direction::Level => line_height(label_size),
            Direction::Slanted => {
                (longest as f32 * std::f32::consts::FRAC_1_SQRT_2 + label_size) as u32
            }
            Direction::Up => longest,
        };
        let below = GAP + labels_height + GAP;

        let matrix = Area { left, top, width: matrix_width, height: matrix_height };
        let bar_left = left + matrix_width + 3 * GAP;
        let row_axis_right = left - 2 * GAP - row_label_width;
        Self {
            width: full_width,
            height: top + matrix_height + below + text_height + MARGIN,
            title,
            matrix,
            cell,
            row_label_size,
            column_label_size: label_size,
            row_axis: axis(map.row_axis, &row_labels),
            column_axis: axis(map.column_axis, &column_labels),
            row_labels,
            column_labels,
            direction,
            row_axis_x: (row_axis_right - text_height / 2) as f32,
            column_axis_y: (top + matrix_height + below + text_height / 2) as f32,
            bar: Area { left: bar_left, top, width: BAR, height: matrix_height },
            bar_labels,
            scale_x: (bar_left + BAR + GAP + bar_label_width + GAP + text_height / 2) as f32,
        }
    }

    pub(super) fn cell_area(&self, row: usize, column: usize) -> Area {
        Area {
            left: self.matrix.left + column as u32 * self.cell.0,
            top: self.matrix.top + row as u32 * self.cell.1,
            width: self.cell.0,
            height: self.cell.1,
        }
    }

    /// From the top of the matrix to the margin below everything.
    pub(super) fn room_below_top(&self) -> f32 {
        (self.height - self.matrix.top - MARGIN) as f32
    }

    /// Where the title begins.
    pub(super) fn margin_top(&self) -> f32 {
        MARGIN as f32
    }
}

/// Width and height of a cell: as large as the numbers of rows and columns let it be.
fn cell(rows: u32, columns: u32, square: bool) -> (u32, u32) {
    if square {
        let side = (MATRIX / rows.max(columns)).clamp(1, CELL);
        return (side, side);
    }
    let side = |count: u32, most: u32| (MATRIX / count).clamp(1, most);
    let (width, height) = (side(columns, CELL), side(rows, ROW));
    let slender = |own: u32, other: u32, count: u32| {
        own.min((SLENDER * other).max(STRETCHED.div_ceil(count)))
    };
    (slender(width, height, columns), slender(height, width, rows))
}

/// The axis' name, and how many of its labels are shown.
fn axis(name: &str, labels: &[(usize, String)]) -> String {
    match labels {
        [_, (step, _), ..] if *step > 1 => format!("{name} (1 in {step} is named)"),
        _ => name.to_owned(),
    }
}

/// Every name, shortened, or as many as there is room for.
fn labels(names: &[String], cell: u32, size: f32) -> Vec<(usize, String)> {
    // Labels are closer than lines of a text.
    let step = (1.15 * size / cell as f32).ceil().max(1.0) as usize;
    let shown = names.iter().enumerate().step_by(step);
    shown.map(|(index, name)| (index, shorten(name, size, LABEL * size))).collect()
}

/// Level where all fit beside each other, slanted where the lines do, else upright.
fn direction(labels: &[(usize, String)], cell: u32, size: f32) -> Direction {
    let cell = cell as f32;
    if labels.iter().all(|(_, name)| width(name, size) <= cell - GAP as f32) {
        Direction::Level
    } else if cell * std::f32::consts::FRAC_1_SQRT_2 >= 1.15 * size {
        Direction::Slanted
    } else {
        Direction::Up
    }
}

fn bar_labels((low, high): (f64, f64), decimals: usize, height: u32) -> Vec<String> {
    let steps = if height >= 4 * BAR_STEP {
        4
    } else if height >= 2 * BAR_STEP {
        2
    } else {
        1
    };
    let value = |step: u32| low + (high - low) * f64::from(step) / f64::from(steps);
    (0..=steps).map(|step| format!("{:.decimals$}", value(step))).collect()
}

fn widest<'a>(texts: impl Iterator<Item = &'a String>, size: f32) -> u32 {
    texts.map(|text| text::width(text, size)).fold(0.0, f32::max).ceil() as u32
}
