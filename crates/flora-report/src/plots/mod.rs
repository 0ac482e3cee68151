//! Figures, as pictures in memory and PNG files.
//!
//! Everything is drawn here, with a font that is part of the program: no system library and no
//! installed font is asked for, and the same input gives the same bytes on every machine. The font is
//! DejaVu Sans: Latin, Greek, Cyrillic, Armenian, Georgian, and more; characters that it lacks (Chinese,
//! emoji) are drawn as a box. Text is set from left to right, without ligatures.

mod canvas;
mod chart;
mod confusion;
mod contact_sheet;
mod heat_map;
mod outline;
mod partition;
mod text;
mod ticks;

use std::{io, path::Path};

use flora_core::files::write_atomic_with;
use image::{ExtendedColorType, ImageEncoder, ImageError, RgbImage, codecs::png::PngEncoder};

use crate::ReportError;

pub(crate) use chart::check as check_chart;
pub use chart::{Chart, Series, chart};
pub use confusion::confusion_matrix;
pub use contact_sheet::{Tile, contact_sheet};
pub use partition::partition;

/// Writes the picture as a PNG, whole or not at all. Missing parent folders are made.
///
/// # Errors
/// [`ReportError::Io`].
pub fn save_png(path: impl AsRef<Path>, image: &RgbImage) -> Result<(), ReportError> {
    let path = path.as_ref();
    let (width, height) = image.dimensions();
    let write = |out: &mut dyn io::Write| {
        PngEncoder::new(out)
            .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
            .map_err(|error| match error {
                ImageError::IoError(error) => error,
                error => io::Error::other(error),
            })
    };
    write_atomic_with(path, write).map_err(ReportError::io("write", path))
}
