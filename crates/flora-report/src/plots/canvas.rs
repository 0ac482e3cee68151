//! Rectangles and colours.

use image::{Rgb, RgbImage};

pub(super) const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
/// Text and outlines.
pub(super) const INK: Rgb<u8> = Rgb([34, 34, 34]);
/// What has no value, and what lies behind pictures.
pub(super) const PALE: Rgb<u8> = Rgb([238, 238, 238]);

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Area {
    /// The area and `by` pixels around it; not beyond the left and top of the picture.
    pub(super) fn grown(self, by: u32) -> Self {
        let (left, top) = (self.left.saturating_sub(by), self.top.saturating_sub(by));
        let right = self.left + self.width + by;
        let bottom = self.top + self.height + by;
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// Its middle, where pixel edges are whole numbers.
    pub(super) fn centre(self) -> (f32, f32) {
        let middle = |start: u32, length: u32| start as f32 + length as f32 / 2.0;
        (middle(self.left, self.width), middle(self.top, self.height))
    }
}

/// Fills the part of the area that lies in the picture.
pub(super) fn fill(image: &mut RgbImage, area: Area, colour: Rgb<u8>) {
    let right = (area.left + area.width).min(image.width());
    let bottom = (area.top + area.height).min(image.height());
    for y in area.top..bottom {
        for x in area.left..right {
            image.put_pixel(x, y, colour);
        }
    }
}

/// Mixes `colour` into a pixel, if the picture has it; `alpha` from 0 to 1.
pub(super) fn blend(image: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>, alpha: f32) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
        for (under, over) in pixel.0.iter_mut().zip(colour.0) {
            let mixed = f32::from(*under) * (1.0 - alpha) + f32::from(over) * alpha;
            *under = mixed.round() as u8;
        }
    }
}

/// White or ink, whichever can be read on `background`.
pub(super) fn readable_on(background: Rgb<u8>) -> Rgb<u8> {
    // Luma of Rec. 601; brighter than the middle means dark text.
    let [red, green, blue] = background.0.map(f32::from);
    if 0.299 * red + 0.587 * green + 0.114 * blue > 140.0 { INK } else { WHITE }
}
