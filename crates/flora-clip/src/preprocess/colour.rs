//! Conversion of pixels of any type to 8-bit RGB.

use image::{DynamicImage, ImageBuffer, Pixel, Rgb, RgbImage};

use super::Transparency;

/// Converts the picture to RGB without transparency. Of 16-bit values the upper byte is kept, as Pillow does for 16-bit
/// colour. (Pillow clips 16-bit grey at 255, which makes a radiograph white; this function does not.)
pub(super) fn rgb(image: &DynamicImage, transparency: Transparency) -> RgbImage {
    let blend = |colour, alpha| match transparency {
        Transparency::White => on_white(colour, alpha),
        Transparency::Ignored => Rgb(colour),
    };
    match image {
        DynamicImage::ImageLuma16(grey) => map(grey, |pixel| Rgb([high(pixel.0[0]); 3])),
        DynamicImage::ImageLumaA16(grey) => {
            map(grey, |&image::LumaA([level, alpha])| blend([high(level); 3], high(alpha)))
        }
        DynamicImage::ImageRgb16(colour) => map(colour, |pixel| Rgb(pixel.0.map(high))),
        DynamicImage::ImageRgba16(colour) => map(colour, |pixel| {
            let [red, green, blue, alpha] = pixel.0.map(high);
            blend([red, green, blue], alpha)
        }),
        _ if image.color().has_alpha() => {
            map(&image.to_rgba8(), |&image::Rgba([red, green, blue, alpha])| {
                blend([red, green, blue], alpha)
            })
        }
        _ => image.to_rgb8(),
    }
}

fn map<P: Pixel>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    convert: impl Fn(&P) -> Rgb<u8>,
) -> RgbImage {
    let mut rgb = RgbImage::new(image.width(), image.height());
    for (target, source) in rgb.pixels_mut().zip(image.pixels()) {
        *target = convert(source);
    }
    rgb
}

fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

fn on_white(colour: [u8; 3], alpha: u8) -> Rgb<u8> {
    let alpha = u32::from(alpha);
    Rgb(colour.map(|level| ((u32::from(level) * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
}
