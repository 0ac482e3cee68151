//! Decodes a few images as a sample.

use std::path::{Path, PathBuf};

use flora_core::text::printable;

use super::levels::fits;
use super::tree::Tree;
use crate::dataset::pattern::Level;
use crate::read_image;

/// Number of images to decode: enough to detect that none can be.
const MOST: usize = 8;

/// The result of decoding a few images.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The smallest and the largest, by area.
    pub(super) sizes: Option<[(u32, u32); 2]>,
    /// The problems of images that cannot be decoded.
    pub(super) unreadable: Vec<String>,
}

/// Samples the first images of some folders.
pub(super) fn of_folders(tree: &Tree, pattern: &[Level]) -> Looked {
    let folders = tree.with_images().filter(|folder| fits(pattern, &folder.levels));
    let first: Vec<&PathBuf> = folders.filter_map(|folder| folder.first.as_ref()).collect();
    look(&spread(&first))
}

/// Samples some of these images.
pub(super) fn of_files(files: &[PathBuf]) -> Looked {
    look(&spread(&files.iter().collect::<Vec<_>>()))
}

fn spread<'a>(files: &[&'a PathBuf]) -> Vec<&'a Path> {
    let step = files.len().div_ceil(MOST).max(1);
    files.iter().step_by(step).map(|file| file.as_path()).collect()
}

fn look(files: &[&Path]) -> Looked {
    let mut looked = Looked::default();
    for file in files {
        match read_image(file) {
            Ok(image) => {
                let size = (image.width(), image.height());
                let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
                let [smallest, largest] = looked.sizes.get_or_insert([size, size]);
                if area(size) < area(*smallest) {
                    *smallest = size;
                }
                if area(size) > area(*largest) {
                    *largest = size;
                }
            }
            Err(error) => looked.unreadable.push(printable(&error.to_string()).into_owned()),
        }
    }
    looked
}
