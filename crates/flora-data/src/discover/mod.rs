//! Detects the layout of a folder of images, and describes it as a data set.

mod build;
mod columns;
mod found;
mod levels;
mod of_folders;
mod of_tables;
mod render;
mod rows;
mod said;
mod sample;
mod suggest;
mod tables;
mod tally;
mod tree;
mod words;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use columns::Wanted;
use tree::Tree;

use crate::Error;
use crate::dataset::described_in;

pub use found::{Counts, Discovery, FoundClass, FoundSite};
pub(crate) use suggest::{Suggestion, suggestion};

/// Information about a folder that its files do not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscoverOptions {
    /// The folder levels between the given folder and the images, as in `{domain}/{class}`.
    pub pattern: Option<String>,
    /// The column of a table that holds the labels.
    pub label: Option<String>,
    /// The column of a table that holds the sites.
    pub site: Option<String>,
}

/// Why a folder cannot be interpreted, and the remedy.
#[derive(Debug)]
struct Unclear {
    problem: String,
    remedy: String,
}

impl Unclear {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }

    fn of(self, folder: &Path) -> Error {
        Error::Unclear { path: folder.to_owned(), problem: self.problem, remedy: self.remedy }
    }
}

/// Detects the layout of a folder of images, or of a table (CSV, or JSON lines) beside images.
///
/// It recognises folders of classes, sites and splits in any order, tables of paths and labels with any column names,
/// and folders that already have a description. Files are listed; a few images are decoded, to detect early that none
/// can be.
///
/// # Errors
///
/// [`Error::Unclear`] if the labels cannot be determined, if there are no images, or if the options do not fit;
/// [`Error::Io`] for folders that cannot be read or whose names are not UTF-8.
pub fn discover(path: &Path, options: &DiscoverOptions) -> Result<Discovery, Error> {
    let real = path.canonicalize().map_err(Error::io("read the folder", path))?;
    if real.to_str().is_none() {
        let remedy = "rename the folder: a description cannot name it";
        return Err(Unclear::new("its path is not UTF-8", remedy).of(path));
    }
    let (folder, table) = match real.is_dir() {
        true => (real, None),
        false => (real.parent().unwrap_or(Path::new("/")).to_owned(), real.file_name()),
    };
    let unclear = |unclear: Unclear| unclear.of(path);
    let by_table = options.label.is_some() || options.site.is_some() || table.is_some();
    if by_table && options.pattern.is_some() {
        let problem = "a pattern is for folders, and a label and a site are columns of a table";
        return Err(unclear(Unclear::new(problem, "give one or the other")));
    }
    let own = described_in(&folder).filter(|_| !by_table && options.pattern.is_none());
    if let Some(description) = own {
        return build::described(folder, description);
    }
    let tree = Tree::read(&folder, usize::MAX)?;
    if let Some(pattern) = &options.pattern {
        let reading = levels::asked(&tree, pattern).map_err(unclear)?;
        return of_folders::of_folders(folder, &tree, reading).map_err(unclear);
    }
    let table = table.map(PathBuf::from);
    let wanted = Wanted { label: options.label.as_deref(), site: options.site.as_deref() };
    build::guess(folder, &tree, table.as_deref(), wanted).map_err(unclear)
}
