//! Pictures as people's files hold them.

use std::path::Path;

use image::error::{DecodingError, ImageFormatHint, LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

/// How the names of images end, in lower case: the formats that [`read`] decodes.
pub const EXTENSIONS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Whether a file is called like an image.
pub fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Decode the image at `path`, whatever its name says about the format, and turn it as its EXIF
/// orientation asks for (what `transformers.image_utils.load_image` does). Of an animation, the first
/// frame.
///
/// JPEG files give the very pixels of libjpeg-turbo, and so of Pillow.
///
/// # Errors
///
/// A file that cannot be read, that holds no image of a known format, or one that would take more
/// than the 512 MiB that `image` allows by default.
pub fn read(path: &Path) -> Result<DynamicImage, ImageError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format)?;
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    Limits::default().reserve(decoder.total_bytes())?;
    // A picture whose orientation cannot be told is taken as it lies.
    let orientation = decoder.orientation().ok();
    let mut image = match format {
        Some(ImageFormat::Jpeg) => {
            drop(decoder);
            jpeg(&std::fs::read(path)?)?.into()
        }
        _ => DynamicImage::from_decoder(decoder)?,
    };
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

/// The decoder of `image` interpolates colour otherwise than libjpeg, on which models were trained:
/// pixels of an ordinary photograph come out up to 9 levels apart.
fn jpeg(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let wrong = |error: libjpeg_turbo_rs::JpegError| {
        ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Jpeg), error))
    };
    let limits =
        DecodeLimits { max_memory: Limits::default().max_alloc, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(wrong)?;
    decoder.set_output_format(PixelFormat::Rgb);
    let decoded = decoder.decode_image().map_err(wrong)?;
    RgbImage::from_raw(decoded.width as u32, decoded.height as u32, decoded.data)
        .ok_or(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)))
}
