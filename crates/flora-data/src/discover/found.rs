//! The discovered contents of a folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use flora_core::text::printable;

use super::rows::TableKind;
use super::said::{counted, some_of};
use crate::dataset::Split;
use crate::dataset::pattern::Pattern;

/// Maximum number of names listed individually.
const MOST_NAMES: usize = 12;

/// The discovered contents of an image folder: [`discover`](super::discover()).
///
/// `Display` summarises them in a few lines.
#[derive(Debug)]
pub struct Discovery {
    /// The folder, absolute and with links followed.
    pub folder: PathBuf,
    /// A short name for files and experiments.
    pub name: String,
    /// The classes, in the order of their labels.
    pub classes: Vec<FoundClass>,
    /// The sites that hold images, sorted; empty if the files do not say.
    pub sites: Vec<FoundSite>,
    /// Image files by extension.
    pub formats: BTreeMap<String, usize>,
    /// Files that are not images of a known format, by extension (empty: none).
    pub others: BTreeMap<String, usize>,
    /// Why the files are interpreted this way, if alternatives exist, and how to request those.
    pub reasons: Vec<String>,
    /// Possible problems.
    pub warnings: Vec<String>,
    /// Widths and heights of the sampled images: the smallest and the largest, by area.
    pub sizes: Option<[(u32, u32); 2]>,
    pub(super) layout: Layout,
}

/// A class of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundClass {
    /// Its name in the files.
    pub key: String,
    /// Its name in prompts.
    pub name: String,
    /// Its images.
    pub images: Counts,
}

/// A site that holds images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSite {
    /// The name of the folder, or the value in the table.
    pub name: String,
    /// Its images.
    pub images: Counts,
    /// Number of classes among its images.
    pub classes: usize,
}

/// Numbers of images by split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// For training.
    pub train: usize,
    /// For testing.
    pub test: usize,
    /// Without a split, which will be drawn.
    pub unsplit: usize,
}

impl Counts {
    /// All images.
    pub fn total(&self) -> usize {
        self.train + self.test + self.unsplit
    }

    pub(super) fn add(&mut self, split: Option<Split>, images: usize) {
        match split {
            // Validation images are drawn from those for training.
            Some(Split::Train | Split::Validation) => self.train += images,
            Some(Split::Test) => self.test += images,
            None => self.unsplit += images,
        }
    }
}

/// The layout of the images.
#[derive(Debug)]
pub(super) enum Layout {
    Folders {
        root: PathBuf,
        pattern: Pattern,
        /// The folders for training and for testing.
        splits: Option<(Vec<String>, Vec<String>)>,
        ignore: Vec<String>,
    },
    Tables {
        root: PathBuf,
        /// One table, or one for training and one for testing.
        parts: Vec<TablePart>,
    },
    Described(PathBuf),
}

/// A table in the form of a description.
#[derive(Debug)]
pub(super) struct TablePart {
    pub(super) file: String,
    pub(super) kind: TableKind,
    pub(super) image: String,
    pub(super) label: String,
    pub(super) domain: Option<String>,
    /// The column, and its values for training and for testing.
    pub(super) split: Option<(String, Vec<String>, Vec<String>)>,
}

impl Discovery {
    /// The images of all classes.
    pub fn images(&self) -> Counts {
        let mut all = Counts::default();
        for Counts { train, test, unsplit } in self.classes.iter().map(|class| class.images) {
            all.train += train;
            all.test += test;
            all.unsplit += unsplit;
        }
        all
    }

    /// Whether the files determine the test images.
    pub fn has_split(&self) -> bool {
        self.images().unsplit == 0
    }

    /// The existing description of the folder.
    pub fn described(&self) -> Option<&Path> {
        match &self.layout {
            Layout::Described(file) => Some(file),
            _ => None,
        }
    }

    /// The folder levels between [`folder`](Self::folder) and the images, if folders determine the classes.
    pub fn pattern(&self) -> Option<String> {
        match &self.layout {
            Layout::Folders { pattern, .. } => Some(pattern.to_string()),
            _ => None,
        }
    }

    /// Whether sites can be clients: there are several, and most have several, shared classes.
    pub fn has_clients(&self) -> bool {
        let held: usize = self.sites.iter().map(|site| site.classes).sum();
        let with_several = self.sites.iter().filter(|site| site.classes > 1).count();
        self.sites.len() > 1 && held > self.classes.len() && 2 * with_several >= self.sites.len()
    }

    /// The layout, in words.
    fn said_layout(&self) -> String {
        match &self.layout {
            Layout::Folders { root, pattern, .. } => {
                format!("folders: {}", printable(&format!("{}/{pattern}", root.display())))
            }
            Layout::Tables { parts, .. } => {
                let said = parts.iter().map(|part| {
                    let mut said =
                        format!("{} (images {}, labels {}", part.file, part.image, part.label);
                    if let Some(domain) = &part.domain {
                        said += &format!(", sites {domain}");
                    }
                    if let Some((column, ..)) = &part.split {
                        said += &format!(", splits {{{column}}}");
                    }
                    printable(&(said + ")")).into_owned()
                });
                format!("table:   {}", said.collect::<Vec<_>>().join(" and "))
            }
            Layout::Described(file) => {
                format!("as in:   {}", printable(&file.display().to_string()))
            }
        }
    }
}

/// `12 a, 3 b`, the largest first.
fn by_extension(files: &BTreeMap<String, usize>) -> String {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|&(extension, &count)| (std::cmp::Reverse(count), extension));
    let said = files.into_iter().map(|(extension, &count)| match extension.as_str() {
        "" => format!("{count} without an extension"),
        extension => format!("{count} .{}", printable(extension)),
    });
    let said: Vec<String> = said.collect();
    match said.len() {
        0..=MOST_NAMES => said.join(", "),
        all => format!("{} and {} other kinds", said[..MOST_NAMES].join(", "), all - MOST_NAMES),
    }
}

/// `a (3), b (4)`.
fn numbered<'a>(all: impl Iterator<Item = (&'a str, Counts)>) -> String {
    let said: Vec<String> =
        all.map(|(name, images)| format!("{name} ({})", images.total())).collect();
    some_of(&said, MOST_NAMES)
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = self.images();
        write!(f, "{}: {}", printable(&self.name), counted(images.total(), "image"))?;
        writeln!(f, " of {}", counted(self.classes.len(), "class"))?;
        writeln!(f, "{}", self.said_layout())?;
        let classes = self.classes.iter().map(|class| (class.name.as_str(), class.images));
        writeln!(f, "classes: {}", numbered(classes))?;
        if !self.sites.is_empty() {
            let sites = self.sites.iter().map(|site| (site.name.as_str(), site.images));
            writeln!(f, "sites:   {}", numbered(sites))?;
        }
        match self.has_split() {
            true => {
                writeln!(f, "split:   {} for training, {} for testing", images.train, images.test)?
            }
            false => writeln!(f, "split:   none; test images will be drawn at random")?,
        }
        write!(f, "formats: {}", by_extension(&self.formats))?;
        if let Some([smallest, largest]) = self.sizes {
            let said = |(width, height)| format!("{width} x {height}");
            write!(f, "; the smallest of a sample is {}, ", said(smallest))?;
            write!(f, "the largest {}", said(largest))?;
        }
        if !self.others.is_empty() {
            write!(f, "\nother files: {}", by_extension(&self.others))?;
        }
        for reason in &self.reasons {
            write!(f, "\n{reason}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
