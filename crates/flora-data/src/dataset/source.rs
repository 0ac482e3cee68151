//! Sources of pixels.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::images::ReadError;
use flora_core::paths::shortest_endings;
use image::{DynamicImage, GrayImage, ImageError};
use sha2::{Digest, Sha256};

use super::idx_file::Array;
use super::packed::Packed;
use crate::Error;

/// Decodes an image file. Its format is determined from its contents, because extensions are unreliable.
///
/// # Errors
///
/// A file that cannot be read or is not a complete image, by name.
pub fn read_image(path: &Path) -> Result<DynamicImage, Error> {
    let refuse = |problem| Error::Image { place: path.display().to_string(), problem };
    let metadata = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if !metadata.is_file() {
        // Opening a pipe would wait for its other end.
        return Err(refuse("it is not a file".to_owned()));
    }
    if metadata.len() == 0 {
        return Err(refuse("it is empty".to_owned()));
    }
    flora_core::images::read(path).map_err(|error| match error {
        // A truncated file exists, but is not an image.
        ReadError::Image(ImageError::IoError(source))
            if source.kind() != ErrorKind::UnexpectedEof =>
        {
            Error::io("read", path)(source)
        }
        // Some decoders' messages have several lines.
        other => refuse(other.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
    })
}

/// The images of a data set; a sample refers to one by its index.
#[derive(Debug)]
pub(super) enum Source {
    /// One file each, decoded on request.
    Files(Vec<PathBuf>),
    /// Arrays of grey pixels, in memory: the training images, then the test images.
    Idx { train: Array, test: Array, invert: bool, transpose: bool },
    /// Small images of one size, in memory.
    Packed(Packed),
}

impl Source {
    /// The file of an image, for messages.
    pub(super) fn describe(&self, place: usize) -> String {
        match self {
            Self::Files(files) => files[place].display().to_string(),
            Self::Idx { train, test, .. } => {
                let (array, index) = locate(train, test, place);
                let names = shortest_endings(&[&train.file, &test.file]);
                let name = if std::ptr::eq(array, train) { &names[0] } else { &names[1] };
                format!("{name}[{index}]")
            }
            Self::Packed(packed) => packed.describe(place),
        }
    }

    /// The file of an image that has one of its own.
    pub(super) fn file(&self, place: usize) -> Option<&Path> {
        match self {
            Self::Files(files) => Some(&files[place]),
            Self::Idx { .. } | Self::Packed(_) => None,
        }
    }

    /// Decodes an image.
    pub(super) fn image(&self, place: usize) -> Result<DynamicImage, Error> {
        match self {
            Self::Files(files) => read_image(&files[place]),
            Self::Idx { train, test, invert, transpose } => {
                let (array, index) = locate(train, test, place);
                let (item, (rows, columns)) = (array.item(index), (array.dims[1], array.dims[2]));
                let grey = |at: usize| if *invert { 255 - item[at] } else { item[at] };
                let (width, height, pixels): (_, _, Vec<u8>) = match transpose {
                    false => (columns, rows, (0..item.len()).map(grey).collect()),
                    true => {
                        let at = |pixel: usize| pixel % rows * columns + pixel / rows;
                        (rows, columns, (0..item.len()).map(at).map(grey).collect())
                    }
                };
                let image = GrayImage::from_raw(width as u32, height as u32, pixels)
                    .expect("an item has rows * columns bytes");
                Ok(DynamicImage::ImageLuma8(image))
            }
            Self::Packed(packed) => Ok(packed.image(place)),
        }
    }

    /// Feeds everything that determines an image's pixels to `hash`.
    pub(super) fn digest(&self, place: usize, hash: &mut Sha256) -> Result<(), Error> {
        match self {
            Self::Files(files) => {
                let file = &files[place];
                let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
                // The length distinguishes (ab, c) and (a, bc).
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
            Self::Idx { train, test, invert, transpose } => {
                let (array, index) = locate(train, test, place);
                hash.update([u8::from(*invert) | u8::from(*transpose) << 1]);
                for dim in &array.dims[1..] {
                    hash.update((*dim as u64).to_le_bytes());
                }
                hash.update(array.item(index));
            }
            Self::Packed(packed) => packed.digest(place, hash),
        }
        Ok(())
    }
}

fn locate<'a>(train: &'a Array, test: &'a Array, place: usize) -> (&'a Array, usize) {
    match place.checked_sub(train.dims[0]) {
        None => (train, place),
        Some(index) => (test, index),
    }
}
