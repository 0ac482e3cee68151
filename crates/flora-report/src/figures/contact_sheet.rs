use base64::{Engine, prelude::BASE64_STANDARD};
use image::{
    DynamicImage, Rgb, RgbImage,
    imageops::{self, FilterType},
};
use plotters::style::{
    RGBColor,
    text_anchor::{HPos, VPos},
};

use super::{
    Figure,
    canvas::{Area, Canvas, Datum, Drawn, steps},
    colours::{INK, MUTED, PALE, series},
    elements::{Element, Look},
    head::{drawn, style, text},
    text::{LEADING, shorten, width, wrap},
    write_png,
};
use crate::ReportError;

const KIND: &str = "contact sheet";
/// The most tiles on a sheet, and lines below a thumbnail.
const MOST: usize = 400;
const LINES: usize = 3;
/// In pixels: side of a thumbnail, its frame, between tiles, around the sheet, width of a title that
/// the tiles do not give enough room.
const THUMBNAIL: u32 = 224;
const FRAME: f64 = 5.0;
/// A frame with its thumbnail.
const TILE: f64 = THUMBNAIL as f64 + 2.0 * FRAME;
const GAP: f64 = 22.0;
const MARGIN: f64 = 28.0;
const TITLE_WIDTH: f64 = 640.0;
const TITLE_LINES: usize = 3;
/// Sizes of text.
const TITLE: f64 = 28.0;
const LEGEND: f64 = 18.0;
const CAPTION: f64 = 15.0;
/// Width over height of a sheet, if it may choose.
const ASPECT: f64 = 1.5;

/// A picture of a contact sheet.
#[derive(Debug, Clone)]
pub struct Tile {
    thumbnail: RgbImage,
    lines: Vec<String>,
    verdict: Option<bool>,
}

impl Tile {
    /// A tile with up to three lines below the picture; further lines are not shown, and long ones are shortened in the
    /// middle. Only a thumbnail of the picture is kept. `verdict` states whether the prediction is correct, if known:
    /// the frame is then green or orange.
    ///
    /// Transparent pictures are placed on white.
    ///
    /// # Errors
    /// [`ReportError::Figure`] for a picture without pixels.
    pub fn new(
        image: &DynamicImage,
        lines: Vec<String>,
        verdict: Option<bool>,
    ) -> Result<Self, ReportError> {
        if image.width() == 0 || image.height() == 0 {
            let problem = format!("a picture of {} x {} pixels", image.width(), image.height());
            return refuse(problem);
        }
        let image = on_white(image);
        let (width, height) = fitted(image.dimensions());
        let thumbnail = imageops::resize(&image, width, height, FilterType::CatmullRom);
        Ok(Self { thumbnail, lines, verdict })
    }
}

/// A grid of pictures with captions, filled row by row: `columns` wide, or such that the sheet is about one and a half
/// times as wide as high. Pictures keep their proportions; small ones are enlarged. The title may have up to three
/// lines. Below it, the sheet states how many tiles are correct and wrong, if known for any.
///
/// # Errors
/// [`ReportError::Figure`] for no tiles, more than 400 (make several sheets), or no columns.
pub fn contact_sheet(
    tiles: &[Tile],
    title: &str,
    columns: Option<usize>,
) -> Result<Figure, ReportError> {
    if tiles.is_empty() {
        return refuse("there are no pictures: it needs at least one".to_owned());
    }
    if tiles.len() > MOST {
        let count = tiles.len();
        return refuse(format!("{count} pictures; make several sheets of at most {MOST}"));
    }
    if columns == Some(0) {
        return refuse("it cannot have 0 columns: give one or more".to_owned());
    }
    let layout = Layout::new(tiles, title, columns);
    let canvas = Canvas::new(layout.width, layout.height, tiles.len());
    draw(&mut canvas.clone(), &canvas.area(), tiles, &layout)
        .map_err(|error| ReportError::Figure { figure: KIND, problem: error.to_string() })?;
    let description = format!("{} pictures with captions.", tiles.len());
    // A pixel of a thumbnail is one of the picture.
    Ok(Figure { scale: 1.0, ..canvas.finish(KIND, title, description) })
}

struct Layout {
    width: f64,
    height: f64,
    title: Vec<String>,
    legend: bool,
    columns: usize,
    /// The upper end of the first tile.
    top: f64,
    /// Frame, thumbnail and caption.
    tile_height: f64,
}

impl Layout {
    /// Of 1 to [`MOST`] tiles.
    fn new(tiles: &[Tile], title: &str, columns: Option<usize>) -> Self {
        let count = tiles.len();
        let lines = tiles.iter().map(|tile| tile.lines.len().min(LINES)).max().unwrap_or(0);
        let caption = if lines == 0 { 0.0 } else { GAP / 4.0 + lines as f64 * LEADING * CAPTION };
        let tile_height = (TILE + caption).ceil();
        let columns = columns.unwrap_or_else(|| {
            let tile = (tile_height + GAP) / (TILE + GAP);
            (count as f64 * ASPECT * tile).sqrt().round() as usize
        });
        let columns = columns.clamp(1, count);
        let rows = count.div_ceil(columns);
        let grid_width = columns as f64 * (TILE + GAP) - GAP;
        let grid_height = rows as f64 * (tile_height + GAP) - GAP;

        let title = wrap(title, TITLE, grid_width.max(TITLE_WIDTH), TITLE_LINES);
        let title_width = title.iter().map(|line| width(line, TITLE)).fold(0.0, f64::max);
        let legend = tiles.iter().any(|tile| tile.verdict.is_some());
        let mut top = MARGIN + title.len() as f64 * LEADING * TITLE;
        top += if legend { LEADING * LEGEND + GAP / 4.0 } else { 0.0 };
        top += if legend || !title.is_empty() { GAP } else { 0.0 };
        let top = top.ceil();
        Self {
            width: grid_width.max(title_width.ceil()) + 2.0 * MARGIN,
            height: top + grid_height + MARGIN,
            title,
            legend,
            columns,
            top,
            tile_height,
        }
    }
}

fn draw(canvas: &mut Canvas, area: &Area, tiles: &[Tile], layout: &Layout) -> Drawn {
    let mut top = MARGIN;
    for line in &layout.title {
        text(area, line, &style(TITLE, &INK, HPos::Left, VPos::Top), (MARGIN, top))?;
        top += LEADING * TITLE;
    }
    if layout.legend {
        draw_legend(area, tiles, top + GAP / 4.0 + LEADING * LEGEND / 2.0)?;
    }
    for (index, tile) in tiles.iter().enumerate() {
        let (column, row) = (index % layout.columns, index / layout.columns);
        let left = MARGIN + column as f64 * (TILE + GAP);
        let top = layout.top + row as f64 * (layout.tile_height + GAP);
        draw_tile(canvas, area, tile, (left, top))?;
    }
    Ok(())
}

/// Bluish green and vermilion, which all eyes can tell apart.
fn verdict_colour(right: bool) -> RGBColor {
    series(if right { 2 } else { 1 })
}

fn draw_legend(area: &Area, tiles: &[Tile], middle: f64) -> Drawn {
    let mut left = MARGIN;
    for (verdict, name) in [(true, "right"), (false, "wrong")] {
        let count = tiles.iter().filter(|tile| tile.verdict == Some(verdict)).count();
        let entry = format!("{count} {name}");
        let top = (middle - LEGEND / 2.0).round();
        fill(area, (left, top), (left + LEGEND, top + LEGEND), verdict_colour(verdict))?;
        left += LEGEND + GAP / 3.0;
        text(area, &entry, &style(LEGEND, &INK, HPos::Left, VPos::Center), (left, middle))?;
        left = (left + width(&entry, LEGEND) + GAP).ceil();
    }
    Ok(())
}

fn draw_tile(canvas: &mut Canvas, area: &Area, tile: &Tile, (left, top): (f64, f64)) -> Drawn {
    let frame = tile.verdict.map_or(PALE, verdict_colour);
    fill(area, (left, top), (left + TILE, top + TILE), frame)?;
    let ground = ((left + FRAME, top + FRAME), (left + TILE - FRAME, top + TILE - FRAME));
    fill(area, ground.0, ground.1, PALE)?;

    let (width, height) = tile.thumbnail.dimensions();
    let inner = |side: u32| FRAME + f64::from((THUMBNAIL - side) / 2);
    let mut png = Vec::new();
    let _ = write_png(&tile.thumbnail, &mut png);
    let attributes = format!(
        " x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" href=\"data:image/png;base64,{}\"",
        left + inner(width),
        top + inner(height),
        BASE64_STANDARD.encode(png)
    );
    let verdict = match tile.verdict {
        Some(true) => "right",
        Some(false) => "wrong",
        None => "unknown",
    };
    let datum = Datum {
        attributes: vec![("verdict", verdict.to_owned())],
        tooltip: tile.lines.iter().take(LINES).cloned().collect::<Vec<_>>().join(", "),
    };
    canvas.element("image", &attributes, Some(&datum));

    for (index, line) in tile.lines.iter().take(LINES).enumerate() {
        let y = top + TILE + GAP / 4.0 + LEADING * CAPTION * (index as f64 + 0.5);
        let colour = if index == 1 { INK } else { MUTED };
        let style = style(CAPTION, &colour, HPos::Center, VPos::Center);
        text(area, &shorten(line, CAPTION, TILE), &style, (left + TILE / 2.0, y))?;
    }
    Ok(())
}

fn fill(area: &Area, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
    let corners = [from, to].map(|(x, y)| (steps(x), steps(y))).to_vec();
    drawn(area.draw(&Element::new(corners, Look::Cell { colour })))
}

/// The picture without its transparency: `c a + 255 (1 - a)`.
fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        Rgb([red, green, blue].map(|c| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

/// The largest size of these proportions that a thumbnail may have; at least one pixel a side.
fn fitted((width, height): (u32, u32)) -> (u32, u32) {
    let scale = f64::from(THUMBNAIL) / f64::from(width.max(height));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (side(width), side(height))
}

fn refuse<T>(problem: String) -> Result<T, ReportError> {
    Err(ReportError::Figure { figure: KIND, problem })
}
