//! Pillow's `Image.resize`.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::F32x3;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::ClipError;

/// How many rows are converted to f32 at a time: a whole large photograph would take four times its memory.
const STRIP: usize = 256;

/// Pillow's filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Lanczos over three lobes.
    Lanczos,
    /// A triangle.
    Bilinear,
    /// The cubic with a = -1/2, CLIP's own.
    Bicubic,
    /// The mean.
    Box,
    /// A Hamming window over one lobe.
    Hamming,
}

impl Filter {
    /// Every filter, at the index of its number in Pillow (`PIL.Image.Resampling`).
    const PILLOW: [Self; 6] =
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];

    pub(super) fn from_pillow(number: u64) -> Option<Self> {
        Self::PILLOW.get(usize::try_from(number).ok()?).copied()
    }

    pub(super) fn to_pillow(self) -> usize {
        Self::PILLOW.iter().position(|&filter| filter == self).expect("every filter is there")
    }

    fn algorithm(self) -> fir::ResizeAlg {
        fir::ResizeAlg::Convolution(match self {
            Self::Nearest => return fir::ResizeAlg::Nearest,
            Self::Lanczos => fir::FilterType::Lanczos3,
            Self::Bilinear => fir::FilterType::Bilinear,
            Self::Bicubic => fir::FilterType::CatmullRom,
            Self::Box => fir::FilterType::Box,
            Self::Hamming => fir::FilterType::Hamming,
        })
    }
}

/// Resizes as Pillow does.
pub(super) fn scale(
    image: RgbImage,
    new_width: u32,
    new_height: u32,
    filter: Filter,
) -> Result<RgbImage, ClipError> {
    let (width, height) = image.dimensions();
    if (new_width, new_height) == (width, height) {
        return Ok(image);
    }
    // Pillow processes the rows first, and rounds and clips in between. In the other order, the default of
    // `fast_image_resize`, sharp edges differ by 20 levels.
    let mut narrow = Vec::with_capacity(new_width as usize * height as usize * 3);
    for rows in image.as_raw().chunks(STRIP * width as usize * 3) {
        let count = (rows.len() / (width as usize * 3)) as u32;
        narrow.extend(pass(rows, [width, count], [new_width, count], filter)?);
    }
    let resized = pass(&narrow, [new_width, height], [new_width, new_height], filter)?;
    Ok(RgbImage::from_raw(new_width, new_height, resized)
        .expect("the buffer has the size that was asked for"))
}

/// Resizes one axis of an image with three channels of 8 bits; either width or height must stay.
fn pass(
    values: &[u8],
    [width, height]: [u32; 2],
    [new_width, new_height]: [u32; 2],
    filter: Filter,
) -> Result<Vec<u8>, ClipError> {
    if (new_width, new_height) == (width, height) {
        return Ok(values.to_vec());
    }
    let failed = |error: &dyn std::fmt::Display| {
        ClipError::Image(format!("resizing {width} x {height} failed: {error}"))
    };
    // In f32: the crate's 8-bit kernels round the filter's weights more coarsely than Pillow, whose weights have 22
    // bits, so that one value in 300 differs by one level and some differ by two.
    let pixels: Vec<F32x3> = values
        .as_chunks()
        .0
        .iter()
        .map(|&pixel: &[u8; 3]| F32x3::new(pixel.map(f32::from)))
        .collect();
    let source = TypedImageRef::new(width, height, &pixels).map_err(|error| failed(&error))?;
    let mut target = TypedImage::new(new_width, new_height);
    let options = fir::ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    fir::Resizer::new()
        .resize_typed::<F32x3>(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    // The conversion truncates fractions and clips to 0..=255.
    Ok(target.pixels().iter().flat_map(|pixel| pixel.0.map(|value| (value + 0.5) as u8)).collect())
}
