//! Inspection of a data set's files on this machine.

use std::path::{Path, PathBuf};

use super::fill::fixed_folder;
use super::layout::{Layout, Names};
use super::pattern::{Level, Pattern};
use super::{Dataset, describe, idx};
use crate::Error;

/// A data set's description, and whether its images are present.
#[derive(Debug)]
pub struct Inspection {
    /// The short name, as in `fashion-mnist`.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// The licence or terms of the images.
    pub license: String,
    /// Where the images come from.
    pub source: String,
    /// The homepage of the data set.
    pub homepage: Option<String>,
    /// How to get the images: a clause such as ``run `apt-get install …` ``; `None` if the description does not say.
    pub how: Option<String>,
    /// The files and folders that the layout names.
    pub parts: Vec<Part>,
    /// The data set, or the first problem that makes it unusable.
    pub dataset: Result<Dataset, Error>,
}

/// A file or folder of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The expected path.
    pub path: PathBuf,
    /// Whether it exists.
    pub here: bool,
}

impl Inspection {
    /// Whether no part of the data set is present.
    pub fn is_absent(&self) -> bool {
        self.dataset.is_err() && self.parts.iter().all(|part| !part.here)
    }
}

/// Checks which parts of a data set are present. The arguments are those of [`Dataset::open`].
///
/// # Errors
///
/// A description that cannot be used. Problems with the images are in the result.
pub fn inspect(path: &Path, root_override: Option<&Path>) -> Result<Inspection, Error> {
    let description = describe(path)?;
    let root = description.root(root_override);
    let mut parts = Vec::new();
    collect(&description.layout, &root, &mut parts);
    parts.sort_by(|a, b| a.path.cmp(&b.path));
    parts.dedup();
    Ok(Inspection {
        name: description.name.clone(),
        title: description.title.clone(),
        license: description.license.clone(),
        source: description.source.clone(),
        homepage: description.homepage.clone(),
        how: description.how.clone(),
        parts,
        dataset: Dataset::read(description, root),
    })
}

impl Part {
    fn file(path: PathBuf) -> Self {
        Self { here: path.is_file(), path }
    }

    fn folder(path: PathBuf) -> Self {
        Self { here: path.is_dir(), path }
    }
}

/// Adds the parts of a layout. Invalid names are not parts: reading the data set reports them.
fn collect(layout: &Layout, root: &Path, parts: &mut Vec<Part>) {
    match layout {
        Layout::ImageFolder(layout) => {
            let mut path = root.to_owned();
            let pattern = Pattern::parse(&layout.pattern);
            for level in pattern.iter().flat_map(Pattern::levels) {
                let Level::Literal(name) = level else { break };
                path.push(name);
            }
            parts.push(Part::folder(path));
        }
        Layout::Idx(layout) => {
            let images = [&layout.train_images, &layout.test_images];
            for name in images.into_iter().chain([&layout.train_labels, &layout.test_labels]) {
                let path = root.join(name);
                let here = path.is_file() || idx::other_name(&path).is_file();
                parts.push(Part { path, here });
            }
        }
        Layout::List(layout) => {
            files(&[&layout.train, &layout.test, &layout.files], root, parts);
            folders(&layout.image, root, parts);
        }
        Layout::Csv(layout) => {
            files(&[&layout.train, &layout.test, &layout.files], root, parts);
            if let Some(image) = &layout.image {
                folders(image, root, parts);
            }
        }
        Layout::JsonLines(layout) => {
            files(&[&layout.train, &layout.test, &layout.files], root, parts);
            folders(&layout.image, root, parts);
        }
        Layout::Mat(layout) => {
            files(&[&layout.train, &layout.test, &layout.files], root, parts);
            folders(&layout.image, root, parts);
            parts.extend(layout.split.iter().map(|split| Part::file(root.join(&split.file))));
        }
        Layout::CifarBinary(layout) => {
            let names = [&layout.train, &layout.test].into_iter().flat_map(Names::as_slice);
            parts.extend(names.map(|name| Part::file(root.join(name))));
        }
        Layout::BySplit(layout) => {
            for part in [&layout.train, &layout.test] {
                let below = part.root().map_or_else(|| root.to_owned(), |path| root.join(path));
                collect(part, &below, parts);
            }
        }
    }
}

/// Adds the lists of a layout.
fn files(names: &[&Option<Names>], root: &Path, parts: &mut Vec<Part>) {
    let names = names.iter().filter_map(|names| names.as_ref()).flat_map(Names::as_slice);
    parts.extend(names.map(|name| Part::file(root.join(name))));
}

/// Adds the folders of listed images.
fn folders(image: &str, root: &Path, parts: &mut Vec<Part>) {
    for split in ["train", "test"] {
        let image = image.replace("{split}", split);
        parts.push(Part::folder(match fixed_folder(&image) {
            "" => root.to_owned(),
            folder => root.join(folder),
        }));
    }
}
