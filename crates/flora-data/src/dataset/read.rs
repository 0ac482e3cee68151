//! Selects the reader of a layout.

use std::path::Path;

use super::built::Built;
use super::description::Description;
use super::layout::Layout;
use super::{by_split, cifar, csv_file, folder, idx, json_lines, list, mat};
use crate::Error;

impl Built {
    /// Reads a layout, or a part of one.
    pub(super) fn read(
        description: &Description,
        layout: &Layout,
        root: &Path,
    ) -> Result<Self, Error> {
        match layout {
            Layout::ImageFolder(layout) => folder::build(description, layout, root),
            Layout::Idx(layout) => idx::build(description, layout, root),
            Layout::List(layout) => list::build(description, layout, root),
            Layout::Csv(layout) => csv_file::build(description, layout, root),
            Layout::JsonLines(layout) => json_lines::build(description, layout, root),
            Layout::Mat(layout) => mat::build(description, layout, root),
            Layout::CifarBinary(layout) => cifar::build(description, layout, root),
            Layout::BySplit(layout) => by_split::build(description, layout, root),
        }
    }
}
