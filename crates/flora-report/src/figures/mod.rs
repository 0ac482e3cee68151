//! Figures as SVG, the common source of files, pages and PNGs.
//!
//! [`plotters`] lays out charts and draws them on this crate's canvas, and [`resvg`] rasterises the result. This crate
//! adds the parts that plotters lacks: titles and legends of several lines, labels that are shortened, rotated or
//! thinned out, and the colour bar.
//!
//! Every value is one element of the class `mark`, with its place in attributes (`data-series`, `data-x`,
//! `data-y` and others) and, in figures of fewer than 2,000 marks, a tooltip.

mod axis;
mod bars;
mod canvas;
mod colours;
mod contact_sheet;
mod elements;
mod figure;
mod fonts;
mod head;
mod heat_map;
mod line_chart;
mod plot;
mod scale;
mod text;

use std::io;

use image::{ExtendedColorType, ImageEncoder, ImageError, RgbImage, codecs::png::PngEncoder};

pub(crate) use axis::{is_drawn, round_up};
pub use bars::{Part, StackedBars};
pub use contact_sheet::{Tile, contact_sheet};
pub use figure::Figure;
pub use fonts::MissingScript;
pub use heat_map::{Cell, HeatMap};
pub use line_chart::{LineChart, Places, Point, Reference, Series, Style};

/// Writes pixels as PNG.
fn write_png(image: &RgbImage, out: impl io::Write) -> io::Result<()> {
    let (width, height) = image.dimensions();
    PngEncoder::new(out)
        .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| match error {
            ImageError::IoError(error) => error,
            error => io::Error::other(error),
        })
}
