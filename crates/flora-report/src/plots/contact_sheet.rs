use image::{
    DynamicImage, Rgb, RgbImage,
    imageops::{self, FilterType},
};

use super::{
    canvas::{Area, INK, PALE, WHITE, fill},
    text::{self, Align, Direction, Style, line_height, shorten, wrap},
};
use crate::ReportError;

/// The most tiles on a sheet, and lines below a thumbnail.
const MOST: usize = 400;
const LINES: usize = 3;
/// In pixels: side of a thumbnail, its frame, between tiles, around the sheet, width of a title that
/// the tiles do not give enough room.
const THUMBNAIL: u32 = 224;
const FRAME: u32 = 5;
/// A frame with its thumbnail.
const TILE: u32 = THUMBNAIL + 2 * FRAME;
const GAP: u32 = 22;
const MARGIN: u32 = 28;
const TITLE_WIDTH: u32 = 640;
const TITLE_LINES: usize = 3;
/// In pixels an em.
const TITLE: f32 = 28.0;
const LEGEND: f32 = 18.0;
const CAPTION: f32 = 15.0;
/// Of Okabe and Ito's colours, that all eyes can tell apart: bluish green and vermilion.
const RIGHT: Rgb<u8> = Rgb([0, 158, 115]);
const WRONG: Rgb<u8> = Rgb([213, 94, 0]);
const SECONDARY: Rgb<u8> = Rgb([96, 96, 96]);
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
    /// A tile with up to three lines below the picture, of which only a thumbnail is kept; further
    /// lines are not shown, and long ones are shortened in the middle. `verdict` tells whether the
    /// prediction is right, if that is known: the frame is green or orange then.
    ///
    /// Transparent pictures are laid on white.
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

/// A grid of pictures with captions, filled row by row: `columns` wide, or so that the sheet is
/// about half as wide again as high. Pictures keep their proportions; small ones are enlarged. The title
/// may have up to three lines; below it stands how many tiles are right and wrong, if that is known
/// of any.
///
/// # Errors
/// [`ReportError::Figure`] for no tiles, more than 400 (make several sheets), or no columns.
pub fn contact_sheet(
    tiles: &[Tile],
    title: &str,
    columns: Option<usize>,
) -> Result<RgbImage, ReportError> {
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
    let mut image = RgbImage::from_pixel(layout.width, layout.height, WHITE);
    draw_title(&mut image, &layout);
    if layout.has_legend {
        draw_legend(&mut image, tiles, &layout);
    }
    for (index, tile) in tiles.iter().enumerate() {
        let index = index as u32;
        let (column, row) = (index % layout.columns, index / layout.columns);
        let left = layout.left + column * (TILE + GAP);
        let top = layout.top + row * (layout.tile_height + GAP);
        draw_tile(&mut image, tile, left, top);
    }
    Ok(image)
}

struct Layout {
    width: u32,
    height: u32,
    title: Vec<String>,
    has_legend: bool,
    columns: u32,
    /// Of the first tile.
    left: u32,
    top: u32,
    /// Frame, thumbnail and caption.
    tile_height: u32,
}

impl Layout {
    /// Of 1 to [`MOST`] tiles.
    fn new(tiles: &[Tile], title: &str, columns: Option<usize>) -> Self {
        let count = tiles.len() as u32;
        let lines = tiles.iter().map(|tile| tile.lines.len().min(LINES)).max().unwrap_or(0);
        let caption = if lines == 0 { 0 } else { GAP / 4 + lines as u32 * line_height(CAPTION) };
        let tile_height = TILE + caption;
        let columns = columns.map_or_else(
            || {
                let tile = f64::from(tile_height + GAP) / f64::from(TILE + GAP);
                (f64::from(count) * ASPECT * tile).sqrt().round() as u32
            },
            |columns| columns.min(MOST) as u32,
        );
        let columns = columns.clamp(1, count);
        let rows = count.div_ceil(columns);
        let grid_width = columns * (TILE + GAP) - GAP;
        let grid_height = rows * (tile_height + GAP) - GAP;

        let title = wrap(title, TITLE, grid_width.max(TITLE_WIDTH) as f32, TITLE_LINES);
        let title_width = title.iter().map(|line| text::width(line, TITLE)).fold(0.0, f32::max);
        let content = grid_width.max(title_width.ceil() as u32);
        let has_legend = tiles.iter().any(|tile| tile.verdict.is_some());
        let mut top = MARGIN + title.len() as u32 * line_height(TITLE);
        top += if has_legend { line_height(LEGEND) + GAP / 4 } else { 0 };
        top += if has_legend || !title.is_empty() { GAP } else { 0 };
        Self {
            width: content + 2 * MARGIN,
            height: top + grid_height + MARGIN,
            title,
            has_legend,
            columns,
            left: MARGIN,
            top,
            tile_height,
        }
    }
}

fn draw_title(image: &mut RgbImage, layout: &Layout) {
    let line_height = line_height(TITLE) as f32;
    for (index, line) in layout.title.iter().enumerate() {
        let y = MARGIN as f32 + line_height * (index as f32 + 0.5);
        text::draw(image, line, (MARGIN as f32, y), style(TITLE, INK, Align::Start));
    }
}

fn draw_legend(image: &mut RgbImage, tiles: &[Tile], layout: &Layout) {
    let top = MARGIN + layout.title.len() as u32 * line_height(TITLE);
    let middle = top + GAP / 4 + line_height(LEGEND) / 2;
    let side = LEGEND as u32;
    let mut left = MARGIN;
    for (verdict, colour, name) in [(true, RIGHT, "right"), (false, WRONG, "wrong")] {
        let count = tiles.iter().filter(|tile| tile.verdict == Some(verdict)).count();
        let entry = format!("{count} {name}");
        let square = Area { left, top: middle - side / 2, width: side, height: side };
        fill(image, square, colour);
        left += side + GAP / 3;
        let at = (left as f32, middle as f32);
        text::draw(image, &entry, at, style(LEGEND, INK, Align::Start));
        left += text::width(&entry, LEGEND).ceil() as u32 + GAP;
    }
}

fn draw_tile(image: &mut RgbImage, tile: &Tile, left: u32, top: u32) {
    let frame = Area { left, top, width: TILE, height: TILE };
    let inner = |by: u32| Area {
        left: left + by,
        top: top + by,
        width: TILE - 2 * by,
        height: TILE - 2 * by,
    };
    match tile.verdict {
        Some(right) => {
            fill(image, frame, if right { RIGHT } else { WRONG });
            fill(image, inner(FRAME), PALE);
        }
        None => fill(image, frame, PALE),
    }
    let (width, height) = tile.thumbnail.dimensions();
    let (x, y) = (left + (TILE - width) / 2, top + (TILE - height) / 2);
    imageops::replace(image, &tile.thumbnail, x.into(), y.into());

    let centre = (left + TILE / 2) as f32;
    let line_height = line_height(CAPTION) as f32;
    for (index, line) in tile.lines.iter().take(LINES).enumerate() {
        let y = (top + TILE + GAP / 4) as f32 + line_height * (index as f32 + 0.5);
        let colour = if index == 1 { INK } else { SECONDARY };
        let line = shorten(line, CAPTION, TILE as f32);
        text::draw(image, &line, (centre, y), style(CAPTION, colour, Align::Centre));
    }
}

fn style(size: f32, colour: Rgb<u8>, align: Align) -> Style {
    Style { size, colour, align, direction: Direction::Level }
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
    Err(ReportError::Figure { figure: "contact sheet", problem })
}
