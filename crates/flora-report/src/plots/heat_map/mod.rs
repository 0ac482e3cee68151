//! A matrix of numbers as colours, with names on both axes and a colour bar.

mod layout;

use colorous::MAGMA;
use image::{Rgb, RgbImage};

use self::layout::{GAP, Layout, TEXT, TITLE};
use super::{
    canvas::{Area, INK, PALE, WHITE, fill, readable_on},
    text::{self, Align, Direction, Style},
};
use crate::ReportError;

/// The most rows or columns: a cell is then a pixel.
const MOST: usize = 2000;
/// Numbers in cells that would have to be smaller, in pixels an em, are left out.
const SMALLEST_NUMBER: f32 = 10.0;
/// Cells of this size, in pixels, have a line between them.
const RULED_CELL: u32 = 24;

/// What to draw. There are `rows.len() * columns.len()` values and cells, row by row.
pub(super) struct HeatMap<'a> {
    /// The name of the figure, for errors.
    pub(super) figure: &'static str,
    pub(super) title: &'a str,
    pub(super) row_axis: &'a str,
    pub(super) rows: &'a [String],
    pub(super) column_axis: &'a str,
    pub(super) columns: &'a [String],
    /// NaN where there is none; pale.
    pub(super) values: &'a [f64],
    /// Those of the lightest and of the darkest colour.
    pub(super) range: (f64, f64),
    /// Decimals of the numbers beside the colour bar.
    pub(super) decimals: usize,
    /// What the values are, beside the colour bar.
    pub(super) scale: &'a str,
    /// What to write into the cells if there is room.
    pub(super) cells: &'a [String],
    /// Whether cells are as wide as they are high.
    pub(super) square: bool,
}

/// Draws the matrix: cells as large as the number of rows and columns lets them be, labels
/// in whichever direction has room for them, not all of them if there are too many.
///
/// # Errors
/// [`ReportError::Figure`] for no rows or columns, too many, or another number of values or cells.
pub(super) fn heat_map(map: &HeatMap<'_>) -> Result<RgbImage, ReportError> {
    check(map)?;
    let layout = Layout::new(map);
    let mut image = RgbImage::from_pixel(layout.width, layout.height, WHITE);
    draw_title(&mut image, &layout);
    draw_cells(&mut image, map, &layout);
    draw_rows(&mut image, &layout);
    draw_columns(&mut image, &layout);
    draw_bar(&mut image, map, &layout);
    Ok(image)
}

fn check(map: &HeatMap<'_>) -> Result<(), ReportError> {
    let refuse = |problem| Err(ReportError::Figure { figure: map.figure, problem });
    let (rows, columns) = (map.rows.len(), map.columns.len());
    if rows == 0 || columns == 0 {
        return refuse("there is nothing to draw: it needs at least one row and column".to_owned());
    }
    if rows.max(columns) > MOST {
        return refuse(format!("{rows} rows and {columns} columns; {MOST} of each can be drawn"));
    }
    for (what, count) in [("values", map.values.len()), ("cells", map.cells.len())] {
        if count != rows * columns {
            return refuse(format!("{count} {what} for {rows} rows of {columns} columns"));
        }
    }
    Ok(())
}

fn draw_title(image: &mut RgbImage, layout: &Layout) {
    let style = style(TITLE, Align::Centre, Direction::Level);
    let line_height = text::line_height(TITLE) as f32;
    for (index, line) in layout.title.iter().enumerate() {
        let y = layout.margin_top() + line_height * (index as f32 + 0.5);
        text::draw(image, line, (layout.width as f32 / 2.0, y), style);
    }
}

fn draw_cells(image: &mut RgbImage, map: &HeatMap<'_>, layout: &Layout) {
    fill(image, layout.matrix.grown(1), INK);
    fill(image, layout.matrix, WHITE);
    let size = number_size(map.cells, layout.cell);
    let gap = u32::from(layout.cell.0.min(layout.cell.1) >= RULED_CELL);
    let columns = map.columns.len();
    for (index, (&value, number)) in map.values.iter().zip(map.cells).enumerate() {
        let (row, column) = (index / columns, index % columns);
        let area = layout.cell_area(row, column);
        // White shows between cells, not between them and the frame.
        let (above, before) = (gap.min(row as u32), gap.min(column as u32));
        let area = Area {
            left: area.left + before,
            top: area.top + above,
            width: area.width - before,
            height: area.height - above,
        };
        let colour = colour(value, map.range);
        fill(image, area, colour);
        if let Some(size) = size {
            let style = Style {
                colour: readable_on(colour),
                ..style(size, Align::Centre, Direction::Level)
            };
            text::draw(image, number, area.centre(), style);
        }
    }
}

/// The size at which the longest fits its cell, if it can be read.
fn number_size(cells: &[String], (width, height): (u32, u32)) -> Option<f32> {
    let (room, height) = (width as f32, height as f32);
    let widest = cells.iter().map(|number| text::width(number, 1.0)).fold(0.5, f32::max);
    let size = ((room - 6.0) / widest).min(0.6 * height).min(TEXT);
    (size >= SMALLEST_NUMBER).then_some(size)
}

fn draw_rows(image: &mut RgbImage, layout: &Layout) {
    let label = style(layout.row_label_size, Align::End, Direction::Level);
    let left = layout.matrix.left;
    for (row, name) in &layout.row_labels {
        let y = layout.cell_area(*row, 0).centre().1;
        text::draw(image, name, ((left - GAP) as f32, y), label);
        tick(image, left - GAP / 2, y as u32, GAP / 2, 1);
    }
    draw_upright(image, &layout.row_axis, layout.row_axis_x, layout);
}

fn draw_columns(image: &mut RgbImage, layout: &Layout) {
    let bottom = layout.matrix.top + layout.matrix.height;
    let align = match layout.direction {
        Direction::Level => Align::Centre,
        Direction::Slanted | Direction::Up => Align::End,
    };
    // The end of text is its middle line's: level text goes down by half of its height, slanted text
    // by less.
    let down = match layout.direction {
        Direction::Level => 0.5,
        Direction::Slanted => 0.3,
        Direction::Up => 0.0,
    };
    let y = (bottom + GAP) as f32 + down * layout.column_label_size;
    let label = style(layout.column_label_size, align, layout.direction);
    for (column, name) in &layout.column_labels {
        let x = layout.cell_area(0, *column).centre().0;
        text::draw(image, name, (x, y), label);
        tick(image, x as u32, bottom, 1, GAP / 2);
    }
    let room = layout.matrix.width.max(layout::AXIS) as f32;
    let axis = text::shorten(&layout.column_axis, TEXT, room);
    let at = (layout.matrix.centre().0, layout.column_axis_y);
    text::draw(image, &axis, at, style(TEXT, Align::Centre, Direction::Level));
}

fn draw_bar(image: &mut RgbImage, map: &HeatMap<'_>, layout: &Layout) {
    let bar = layout.bar;
    let (low, high) = map.range;
    fill(image, bar.grown(1), INK);
    for y in 0..bar.height {
        // Pixel centres: the whole range, and no more.
        let share = 1.0 - (f64::from(y) + 0.5) / f64::from(bar.height);
        let line = Area { top: bar.top + y, height: 1, ..bar };
        fill(image, line, colour(low + share * (high - low), map.range));
    }
    let right = bar.left + bar.width;
    let label = style(TEXT, Align::Start, Direction::Level);
    let last = layout.bar_labels.len() - 1;
    for (index, number) in layout.bar_labels.iter().enumerate() {
        let share = index as f32 / last as f32;
        let y = (bar.top + bar.height) as f32 - share * bar.height as f32;
        text::draw(image, number, ((right + GAP) as f32, y), label);
        tick(image, right, y as u32, GAP / 2, 1);
    }
    draw_upright(image, map.scale, layout.scale_x, layout);
}

/// Beside the matrix; if that is lower than the name is long, from its top downwards, clear of the
/// title.
fn draw_upright(image: &mut RgbImage, name: &str, x: f32, layout: &Layout) {
    let name = text::shorten(name, TEXT, layout.room_below_top());
    let long = text::width(&name, TEXT) > layout.matrix.height as f32;
    let (y, align) = if long {
        (layout.matrix.top as f32, Align::End)
    } else {
        (layout.matrix.centre().1, Align::Centre)
    };
    text::draw(image, &name, (x, y), style(TEXT, align, Direction::Up));
}

fn tick(image: &mut RgbImage, left: u32, top: u32, width: u32, height: u32) {
    fill(image, Area { left, top, width, height }, INK);
}

fn style(size: f32, align: Align, direction: Direction) -> Style {
    Style { size, colour: INK, align, direction }
}

/// Magma, from light to dark: equal steps look equal, in grey and to the colour-blind, too. Light is
/// low because mistakes are rare, and a few per cent show better on a light ground.
fn colour(value: f64, (low, high): (f64, f64)) -> Rgb<u8> {
    if value.is_nan() {
        return PALE;
    }
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    let colour = MAGMA.eval_continuous(1.0 - share);
    Rgb([colour.r, colour.g, colour.b])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(size: usize, values: &[f64], cells: &[String]) -> (RgbImage, Layout) {
        let names: Vec<String> = (0..size).map(|index| format!("class number {index}")).collect();
        let map = HeatMap {
            figure: "test",
            title: "a title",
            row_axis: "rows",
            rows: &names,
            column_axis: "columns",
            columns: &names,
            values,
            range: (0.0, 1.0),
            decimals: 2,
            scale: "scale",
            cells,
            square: true,
        };
        (heat_map(&map).unwrap(), Layout::new(&map))
    }

    #[test]
    fn an_identity_is_dark_on_its_diagonal_and_light_elsewhere() {
        for size in [1, 2, 10, 39, 100, 700] {
            let entry = |index| if index / size == index % size { 1.0 } else { 0.0 };
            let values: Vec<f64> = (0..size * size).map(entry).collect();
            let (image, layout) = draw(size, &values, &vec!["8".to_owned(); size * size]);
            for (index, &value) in values.iter().enumerate() {
                // The last corner of a cell: no line, no number.
                let area = layout.cell_area(index / size, index % size);
                let corner = (area.left + area.width - 1, area.top + area.height - 1);
                let expected = if value == 1.0 { [0, 0, 4] } else { [252, 253, 191] };
                let pixel = image.get_pixel(corner.0, corner.1).0;
                let off = pixel.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                assert!(off <= 2, "{size}: cell {index} is {pixel:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn what_has_no_value_is_pale() {
        let (image, layout) = draw(1, &[f64::NAN], &[String::new()]);
        let area = layout.cell_area(0, 0);
        assert_eq!(*image.get_pixel(area.left, area.top), PALE);
        let (dark, _) = draw(1, &[1.0], &[String::new()]);
        assert_ne!(image, dark);
    }

    #[test]
    fn numbers_are_drawn_where_they_fit() {
        let numbers = |size: usize, number: &str| {
            let cells = vec![number.to_owned(); size * size];
            draw(size, &vec![0.5; size * size], &cells).0
        };
        assert_ne!(numbers(20, "12"), numbers(20, ""));
        assert_eq!(numbers(100, "12"), numbers(100, ""));
        assert_eq!(numbers(20, "123456789012345"), numbers(20, ""));
    }

    #[test]
    fn labels_turn_and_thin_out_as_room_shrinks() {
        let layout =
            |size: usize| draw(size, &vec![0.0; size * size], &vec![String::new(); size * size]).1;
        assert_eq!(layout(10).direction, Direction::Slanted);
        assert_eq!(layout(100).direction, Direction::Up);
        assert_eq!(layout(100).row_labels.len(), 100);
        assert_eq!(layout(100).row_axis, "rows");
        let thinned = layout(400).row_labels;
        assert!((60..=140).contains(&thinned.len()), "{}", thinned.len());
        assert_eq!(layout(400).row_axis, format!("rows (1 in {} is named)", thinned[1].0));
        assert!(thinned.iter().all(|(index, name)| name.ends_with(&index.to_string())));
    }
}
