use std::fmt::Write;

use colorous::MAGMA;
use plotters::{
    chart::ChartBuilder,
    element::PathElement,
    style::{
        RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    Figure,
    axis::{Axis, CLOSE, CLOSE_SLANTED, LABEL, Labels, Turn},
    canvas::{Area, Canvas, Datum, Drawn, STEPS, steps},
    colours::{BACKGROUND, INK, PALE, readable_on},
    elements::{Element, Look},
    head::{ENTRY, Head, MARGIN, drawn, style, text},
    plot::{Plane, Plot, thin},
    text::{LEADING, width, wrap},
};
use crate::ReportError;

/// The most rows or columns.
const MOST: usize = 2_000;
/// With more marks than this, all cells of one colour are one element without attributes.
const MOST_MARKS: usize = 10_000;
/// In units: of a matrix with few cells and with many, of a cell, of the smallest matrix.
const MATRIX: f64 = 500.0;
const LARGEST_MATRIX: f64 = 1_000.0;
const CELL: f64 = 44.0;
/// The highest row where cells need not be square.
const ROW: f64 = 30.0;
const LEAST_CELL: f64 = 10.0;
const LEAST_MATRIX: f64 = 160.0;
const SMALLEST_LABEL: f64 = 8.9;
/// Labels below the matrix become this small before they are turned upright.
const SMALLEST_SLANTED: f64 = 11.5;
/// Numbers in cells that would have to be smaller are left out.
const SMALLEST_NUMBER: f64 = 7.0;
/// Cells of this size have lines between them.
const RULED: f64 = 12.0;
/// The width of the colour bar, and of the gap before it.
const BAR: f64 = 14.0;
const GAP: f64 = 12.0;
const COLOURS: usize = 64;

/// A matrix of numbers as colours, with names on both axes and a colour bar.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeatMap {
    /// A description of the figure, for errors and for screen readers; "heat map" if empty.
    pub kind: &'static str,
    /// The title, of up to three lines.
    pub title: String,
    /// A note about the numbers, of one or two lines below the title.
    pub note: String,
    /// The name of the vertical axis; the first row is at the top.
    pub row_axis: String,
    /// The names of the rows.
    pub rows: Vec<String>,
    /// The name of the horizontal axis; the first column is on the left.
    pub column_axis: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// `rows.len() * columns.len()` cells, row by row.
    pub cells: Vec<Cell>,
    /// The values of the lightest and of the darkest colour.
    pub range: (f64, f64),
    /// Decimals of the numbers beside the colour bar.
    pub decimals: usize,
    /// The quantity that the colours show, beside the colour bar.
    pub scale: String,
    /// Whether cells are as wide as they are high.
    pub square: bool,
}

/// A cell of a heat map.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    /// The value that the colour shows. `None` is pale, and not a mark.
    pub value: Option<f64>,
    /// The number to write into the cell if there is room. A cell without a number and with the lightest colour is not
    /// a mark, because it counts nothing.
    pub count: Option<u64>,
}

impl HeatMap {
    /// Draws the matrix: cells as large as the number of rows and columns allows, labels in a direction for which there
    /// is room, and only some of them if there are too many.
    ///
    /// # Errors
    /// [`ReportError::Figure`] for no rows or columns, more than 2,000, or the wrong number of cells.
    pub fn draw(&self) -> Result<Figure, ReportError> {
        self.check()?;
        let layout = Layout::new(self);
        let marks = self.cells.iter().filter(|cell| self.is_mark(cell)).count();
        let canvas = Canvas::new(layout.plot.width(), layout.height(), marks);
        self.draw_on(&mut canvas.clone(), &canvas.area(), &layout, marks).map_err(|error| {
            ReportError::Figure { figure: self.kind(), problem: error.to_string() }
        })?;
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let description = format!(
            "{rows} rows ({}) and {columns} columns ({}); colours show {}.",
            self.row_axis, self.column_axis, self.scale
        );
        Ok(canvas.finish(self.kind(), &self.title, description))
    }

    fn kind(&self) -> &'static str {
        if self.kind.is_empty() { "heat map" } else { self.kind }
    }

    fn check(&self) -> Result<(), ReportError> {
        let refuse = |problem| Err(ReportError::Figure { figure: self.kind(), problem });
        let (rows, columns) = (self.rows.len(), self.columns.len());
        if rows == 0 || columns == 0 {
            return refuse(
                "there is nothing to draw: it needs at least one row and column".to_owned(),
            );
        }
        if rows.max(columns) > MOST {
            return refuse(format!(
                "{rows} rows and {columns} columns; {MOST} of each can be drawn"
            ));
        }
        let count = self.cells.len();
        if count != rows * columns {
            return refuse(format!("{count} cells for {rows} rows of {columns} columns"));
        }
        Ok(())
    }

    fn is_mark(&self, cell: &Cell) -> bool {
        cell.value.is_some_and(|value| {
            value.is_finite() && (value > self.range.0 || cell.count.is_some())
        })
    }

    fn draw_on(&self, canvas: &mut Canvas, area: &Area, layout: &Layout, marks: usize) -> Drawn {
        let chart = layout.plot.draw(area)?;
        self.draw_ground(&chart)?;
        if marks > MOST_MARKS {
            self.draw_colours(canvas, &chart);
        } else {
            self.draw_cells(&chart)?;
        }
        self.draw_lines(&chart, layout)?;
        let (right, bottom) = (self.columns.len() as f64 - 0.5, self.rows.len() as f64 - 0.5);
        let frame = [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom), (-0.5, -0.5)];
        drawn(chart.plotting_area().draw(&PathElement::new(frame.to_vec(), thin(&INK))))?;
        self.draw_numbers(area, &chart, layout)?;
        self.draw_bar(area, layout)
    }

    /// The matrix in its lightest colour, and pale runs of cells without a value.
    fn draw_ground(&self, chart: &Plane<'_>) -> Drawn {
        let (rows, columns) = (self.rows.len() as f64, self.columns.len() as f64);
        let draw = |from: (f64, f64), to: (f64, f64), colour: RGBColor| {
            drawn(chart.plotting_area().draw(&Element::new(vec![from, to], Look::Cell { colour })))
        };
        draw((-0.5, -0.5), (columns - 0.5, rows - 0.5), colour(self.range.0, self.range))?;
        for (row, cells) in self.cells.chunks(self.columns.len()).enumerate() {
            let mut start = 0;
            for run in cells.chunk_by(|a, b| a.value.is_some() == b.value.is_some()) {
                if run[0].value.is_none() {
                    let (left, right) = (start as f64 - 0.5, (start + run.len()) as f64 - 0.5);
                    draw((left, row as f64 - 0.5), (right, row as f64 + 0.5), PALE)?;
                }
                start += run.len();
            }
        }
        Ok(())
    }

    fn draw_cells(&self, chart: &Plane<'_>) -> Drawn {
        for (index, cell) in self.cells.iter().enumerate().filter(|(_, cell)| self.is_mark(cell)) {
            let (row, column) = (index / self.columns.len(), index % self.columns.len());
            let value = cell.value.unwrap_or_default();
            let (x, y) = (column as f64, row as f64);
            let look = Look::Cell { colour: colour(value, self.range) };
            let element = Element {
                datum: Some(self.datum(row, column, value, cell.count)),
                ..Element::new(vec![(x - 0.5, y - 0.5), (x + 0.5, y + 0.5)], look)
            };
            drawn(chart.plotting_area().draw(&element))?;
        }
        Ok(())
    }

    fn datum(&self, row: usize, column: usize, value: f64, count: Option<u64>) -> Datum {
        let (row, column) = (&self.rows[row], &self.columns[column]);
        let mut attributes =
            vec![("row", row.clone()), ("column", column.clone()), ("value", value.to_string())];
        let mut tooltip = format!("{}: {row}, {}: {column}: ", self.row_axis, self.column_axis);
        if let Some(count) = count {
            attributes.push(("count", count.to_string()));
            tooltip += &count.to_string();
        }
        let shown = format!("{value:.*}", self.decimals);
        if count.is_none_or(|count| count as f64 != value) {
            let _ = write!(tooltip, "{}{shown}", if count.is_some() { ", " } else { "" });
        }
        Datum { attributes, tooltip }
    }

    /// All cells of a colour as one element: tens of thousands are too many for a page.
    fn draw_colours(&self, canvas: &mut Canvas, chart: &Plane<'_>) {
        let mut paths = vec![String::new(); COLOURS];
        let (low, high) = self.range;
        for (index, cell) in self.cells.iter().enumerate().filter(|(_, cell)| self.is_mark(cell)) {
            let (x, y) = ((index % self.columns.len()) as f64, (index / self.columns.len()) as f64);
            let share = ((cell.value.unwrap_or_default() - low) / (high - low)).clamp(0.0, 1.0);
            let corner = |x: f64, y: f64| chart.backend_coord(&(x, y));
            let ((left, top), (right, bottom)) =
                (corner(x - 0.5, y - 0.5), corner(x + 0.5, y + 0.5));
            let number = super::canvas::number;
            let _ = write!(
                paths[(share * (COLOURS - 1) as f64).round() as usize],
                "M{} {}h{}v{}h{}z",
                number(left),
                number(top),
                number(right - left),
                number(bottom - top),
                number(left - right)
            );
        }
        for (index, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let share = index as f64 / (COLOURS - 1) as f64;
            let RGBColor(red, green, blue) = colour(low + share * (high - low), self.range);
            let attributes = format!(" d=\"{path}\" fill=\"#{red:02x}{green:02x}{blue:02x}\"");
            canvas.element("path", &attributes, None);
        }
    }

    /// Lines between cells that are large enough.
    fn draw_lines(&self, chart: &Plane<'_>, layout: &Layout) -> Drawn {
        if layout.cell.0.min(layout.cell.1) < RULED {
            return Ok(());
        }
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let (right, bottom) = (columns as f64 - 0.5, rows as f64 - 0.5);
        let level = (1..rows).map(|row| row as f64 - 0.5).map(|y| [(-0.5, y), (right, y)]);
        let upright =
            (1..columns).map(|column| column as f64 - 0.5).map(|x| [(x, -0.5), (x, bottom)]);
        for ends in level.chain(upright) {
            let line = PathElement::new(ends.to_vec(), thin(&BACKGROUND));
            drawn(chart.plotting_area().draw(&line))?;
        }
        Ok(())
    }

    fn draw_numbers(&self, area: &Area, chart: &Plane<'_>, layout: &Layout) -> Drawn {
        let counts = self.cells.iter().filter_map(|cell| cell.count);
        let widest = counts.map(|count| width(&count.to_string(), 1.0)).fold(0.5, f64::max);
        let (room, height) = layout.cell;
        let size = ((room - 5.0) / widest).min(0.6 * height).min(LABEL);
        if size < SMALLEST_NUMBER {
            return Ok(());
        }
        let size = (size * 10.0).floor() / 10.0;
        for (index, cell) in self.cells.iter().enumerate() {
            let (Some(value), Some(count)) = (cell.value, cell.count) else { continue };
            let at = ((index % self.columns.len()) as f64, (index / self.columns.len()) as f64);
            let (x, y) = chart.backend_coord(&at);
            let colour = readable_on(colour(value, self.range));
            let style = style(size, &colour, HPos::Center, VPos::Center);
            text(area, &count.to_string(), &style, (f64::from(x) / STEPS, f64::from(y) / STEPS))?;
        }
        Ok(())
    }

    /// The colour bar, which plotters does not have.
    fn draw_bar(&self, area: &Area, layout: &Layout) -> Drawn {
        let (left, top) = layout.plot.corner();
        let (left, height) = (left + layout.plot.size.0 + GAP, layout.bar_height);
        let area = area
            .clone()
            .shrink((steps(left), steps(top)), (steps(BAR + layout.bar_labels), steps(height)));
        let axis = &layout.bar;
        let mut chart = drawn(
            ChartBuilder::on(&area)
                .right_y_label_area_size(steps(layout.bar_labels))
                .build_cartesian_2d(0.0..1.0, axis.scale()),
        )?;
        let (low, high) = self.range;
        for index in 0..COLOURS {
            let at = |index: usize| low + (high - low) * index as f64 / COLOURS as f64;
            let middle = f64::midpoint(at(index), at(index + 1));
            let look = Look::Cell { colour: colour(middle, self.range) };
            // Up to the end, so that no ground shows between two colours.
            drawn(
                chart
                    .plotting_area()
                    .draw(&Element::new(vec![(0.0, at(index)), (1.0, high)], look)),
            )?;
        }
        drawn(
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(thin(&INK))
                .set_all_tick_mark_size(steps(3.0))
                .y_label_style(style(LABEL, &INK, HPos::Left, VPos::Center))
                .axis_desc_style(style(ENTRY, &INK, HPos::Center, VPos::Center))
                .y_desc(wrap(&self.scale, ENTRY, height, 2).join("\n"))
                .draw(),
        )
    }
}

/// Where everything goes, in units.
struct Layout {
    plot: Plot,
    cell: (f64, f64),
    bar: Axis,
    bar_height: f64,
    /// Room for the labels and the name of the colour bar.
    bar_labels: f64,
}

impl Layout {
    fn new(map: &HeatMap) -> Self {
        let (rows, columns) = (map.rows.len(), map.columns.len());
        let cell = if map.square {
            let side = side(rows.max(columns), CELL);
            (side, side)
        } else {
            (side(columns, CELL), side(rows, ROW))
        };
        let size = (cell.0 * columns as f64, cell.1 * rows as f64);
        let tenths = |size: f64| (size * 10.0).floor() / 10.0;
        let label = |cell: f64| tenths((cell / CLOSE).clamp(SMALLEST_LABEL, LABEL));
        let beside = Labels::beside(&map.rows, cell.1, label(cell.1));
        let vertical = Axis::places(map.row_axis.clone(), beside, true);
        let left = Plot::left(&vertical.name, size.1, vertical.labels.widest());
        let slanted = tenths((cell.0 / CLOSE_SLANTED).min(LABEL));
        let size_below = if slanted >= SMALLEST_SLANTED { slanted } else { label(cell.0) };
        let below = Labels::below(&map.columns, cell.0, size_below, left);
        let horizontal = Axis::places(map.column_axis.clone(), below, false);

        let bar_height = size.1;
        let bar = bar(map, bar_height);
        let names = wrap(&map.scale, ENTRY, bar_height, 2).len() as f64;
        let bar_labels = 8.0 + bar.labels.widest() + 6.0 + names * LEADING * ENTRY;
        let right = GAP + BAR + bar_labels + MARGIN;
        let head = Head::new(&map.title, &map.note, Vec::new(), left + size.0 + right);
        let plot = Plot { right, grid: false, ..Plot::new(head, horizontal, vertical, size) };
        Self { plot, cell, bar, bar_height, bar_labels }
    }

    fn height(&self) -> f64 {
        self.plot.height()
    }
}

/// The side of one of so many cells: all of them fit, and steps of the canvas are whole.
fn side(count: usize, most: f64) -> f64 {
    let count = count as f64;
    let side = (MATRIX / count).clamp(LEAST_CELL, most).min(LARGEST_MATRIX / count);
    (side.max(LEAST_MATRIX / count) * STEPS).floor().max(STEPS / 2.0) / STEPS
}

fn bar(map: &HeatMap, height: f64) -> Axis {
    let count = match height {
        height if height >= 4.0 * 30.0 => 4,
        _ => 2,
    };
    let (low, high) = map.range;
    let ticks: Vec<f64> =
        (0..=count).map(|tick| low + (high - low) * f64::from(tick) / f64::from(count)).collect();
    let texts = ticks.iter().map(|tick| format!("{tick:.*}", map.decimals)).collect();
    let labels = Labels { texts, turn: Turn::Level, size: LABEL, every: 1 };
    Axis { name: map.scale.clone(), range: map.range, logarithmic: false, ticks, labels }
}

/// Magma, from light to dark: equal steps look equal, in grey and to the colour-blind, too. Light is low because
/// mistakes are rare, and a few per cent are easier to see on a light ground.
fn colour(value: f64, (low, high): (f64, f64)) -> RGBColor {
    let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    let colour = MAGMA.eval_continuous(1.0 - share);
    RGBColor(colour.r, colour.g, colour.b)
}
