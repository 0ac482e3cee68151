//! Small images of equal size, in memory.

use image::{DynamicImage, GrayImage, RgbImage};
use sha2::{Digest, Sha256};

use super::table::Place;

/// The pixel layout of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// One byte per pixel, row by row.
    Grey,
    /// All of red, row by row, then all of green, then all of blue.
    PlanarRgb,
}

impl Channels {
    fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::PlanarRgb => 3,
        }
    }
}

/// Images one after the other.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: Channels,
    pub(super) bytes: Vec<u8>,
    /// The names of the source files, and the positions in them.
    pub(super) files: Vec<String>,
    pub(super) places: Vec<Place>,
    /// The unit of `places`, as in `line`.
    pub(super) unit: &'static str,
}

impl Packed {
    /// The origin of the image, for messages.
    pub(super) fn describe(&self, index: usize) -> String {
        let Place { file, number } = self.places[index];
        format!("{}, {} {number}", self.files[file as usize], self.unit)
    }

    /// The image, in `image`'s pixel order.
    pub(super) fn image(&self, index: usize) -> DynamicImage {
        let bytes = self.item(index);
        match self.channels {
            Channels::Grey => GrayImage::from_raw(self.width, self.height, bytes.to_vec())
                .expect("an item has a byte for each pixel")
                .into(),
            Channels::PlanarRgb => {
                let pixels = bytes.len() / 3;
                let mixed =
                    (0..pixels).flat_map(|i| [bytes[i], bytes[pixels + i], bytes[2 * pixels + i]]);
                RgbImage::from_raw(self.width, self.height, mixed.collect())
                    .expect("an item has three bytes for each pixel")
                    .into()
            }
        }
    }

    /// Feeds everything that determines an image's pixels to `hash`.
    pub(super) fn digest(&self, index: usize, hash: &mut Sha256) {
        hash.update([self.channels.count() as u8]);
        hash.update(self.width.to_le_bytes());
        hash.update(self.height.to_le_bytes());
        hash.update(self.item(index));
    }

    fn item(&self, index: usize) -> &[u8] {
        let size = self.width as usize * self.height as usize * self.channels.count();
        &self.bytes[index * size..][..size]
    }
}
