//! Finding and decoding image files.

mod passed_over;
mod walk;

use std::path::Path;

use image::error::{DecodingError, ImageFormatHint, LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

pub use passed_over::PassedOver;
pub use walk::{FolderError, Found, below, entries};

/// File name extensions of images, in lower case: the formats that [`read`] decodes with the feature `formats`, with the
/// names that torchvision's `ImageFolder` and Pillow use.
pub const EXTENSIONS: [&str; 14] = [
    "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff",
    "webp",
];

/// The most memory that the pixels of one image may take: 512 MiB, the default limit of `image`.
pub const MOST_BYTES: u64 = 512 << 20;

/// Why a file cannot be read as an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read, or it is truncated, damaged or of an unknown format.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A format that this program was built without.
    #[error(
        "{0} is not supported here: build flora with its feature `formats`, or convert the picture to PNG"
    )]
    LeftOut(&'static str),
    /// The pixels would take more than [`MOST_BYTES`].
    #[error(
        "{width} x {height} pixels take {} MiB, and at most {} MiB are allowed; make the picture smaller",
        bytes.div_ceil(1 << 20),
        MOST_BYTES >> 20
    )]
    TooLarge {
        /// Width in pixels, as the file states it.
        width: u32,
        /// Height in pixels, as the file states it.
        height: u32,
        /// Bytes that the pixels would take.
        bytes: u64,
    },
}

/// Whether a file name has the extension of an image.
pub fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Decodes the image at `path`, whatever format its name suggests, and applies its EXIF orientation (as
/// `transformers.image_utils.load_image` does). Of an animation, the first frame is read.
///
/// JPEG files decode to exactly the pixels of libjpeg-turbo, and so of Pillow.
///
/// # Errors
///
/// A file that cannot be read, that is not an image of a known format, or that would take more than [`MOST_BYTES`].
pub fn read(path: &Path) -> Result<DynamicImage, ReadError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(ImageError::IoError)?;
    let format = reader.format();
    #[cfg(not(feature = "formats"))]
    match format {
        Some(ImageFormat::Gif) => return Err(ReadError::LeftOut("GIF")),
        Some(ImageFormat::Tiff) => return Err(ReadError::LeftOut("TIFF")),
        Some(ImageFormat::WebP) => return Err(ReadError::LeftOut("WebP")),
        _ => {}
    }
    let mut decoder = reader.into_decoder()?;
    let ((width, height), bytes) = (decoder.dimensions(), decoder.total_bytes());
    if bytes > MOST_BYTES {
        return Err(ReadError::TooLarge { width, height, bytes });
    }
    // An image with an unreadable orientation is not rotated.
    let orientation = decoder.orientation().ok();
    let mut image = match format {
        Some(ImageFormat::Jpeg) => {
            drop(decoder);
            jpeg(&std::fs::read(path).map_err(ImageError::IoError)?)?.into()
        }
        // Pillow rounds 16-bit colour to 8 bits here; for other formats it keeps the upper 8 bits.
        Some(ImageFormat::Pnm) => match DynamicImage::from_decoder(decoder)? {
            DynamicImage::ImageRgb16(colour) => DynamicImage::ImageRgb16(colour).to_rgb8().into(),
            image => image,
        },
        _ => DynamicImage::from_decoder(decoder)?,
    };
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

/// Decodes with libjpeg-turbo: the decoder of `image` interpolates colour differently from libjpeg, on which models
/// were trained. Pixels of an ordinary photograph come out up to 9 levels apart.
fn jpeg(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let wrong = |error: libjpeg_turbo_rs::JpegError| {
        ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Jpeg), error))
    };
    let limits = DecodeLimits { max_memory: Some(MOST_BYTES), ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(wrong)?;
    decoder.set_output_format(PixelFormat::Rgb);
    let decoded = decoder.decode_image().map_err(wrong)?;
    RgbImage::from_raw(decoded.width as u32, decoded.height as u32, decoded.data)
        .ok_or(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)))
}
