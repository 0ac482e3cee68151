//! Tables that name images and their labels.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::columns::{Columns, Wanted};
use super::rows::Head;
use super::tree::Tree;
use super::words::{SplitName, assign_splits, split_name};

/// A table that names existing images.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its path below the root.
    pub(super) path: PathBuf,
    pub(super) head: Head,
    pub(super) columns: Columns,
}

/// One image of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) image: PathBuf,
    pub(super) label: String,
    pub(super) site: Option<String>,
    /// The name in the table.
    pub(super) split: Option<String>,
}

/// The contents of a table.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) rows: Vec<Row>,
    /// Values of the split column, with the number of rows.
    pub(super) splits: BTreeMap<String, usize>,
    /// Invalid rows by problem: their number, and the line of the first.
    pub(super) wrong: BTreeMap<&'static str, (usize, usize)>,
}

impl Candidate {
    /// The name of a column.
    pub(super) fn name(&self, column: usize) -> &str {
        &self.head.columns[column]
    }

    /// The values of the split column that stand for training and for testing.
    pub(super) fn splits(&self, content: &Content) -> Option<(Vec<String>, Vec<String>)> {
        self.columns.split.map(|_| assign_splits(content.splits.keys().map(String::as_str)))
    }

    /// The split that the table's own name, or that of its folder, suggests.
    pub(super) fn split_name(&self) -> Option<SplitName> {
        let name = |part: Option<&std::ffi::OsStr>| split_name(part?.to_str()?);
        name(self.path.file_stem()).or_else(|| name(self.path.parent()?.file_name()))
    }

    /// Reads all rows.
    pub(super) fn read(&self, root: &Path) -> Result<Content, String> {
        let columns = &self.columns;
        let mut wanted = vec![columns.image];
        let mut place = |column: Option<usize>| {
            column.map(|column| {
                wanted.push(column);
                wanted.len() - 1
            })
        };
        let (label, site, split) =
            (place(columns.label), place(columns.site), place(columns.split));
        let mut content = Content::default();
        let mut seen = HashSet::new();
        self.head.each(&root.join(&self.path), &wanted, |line, values| {
            let of = |place: Option<usize>| place.map(|place| values[place].trim().to_owned());
            let split = of(split);
            if let Some(split) = &split {
                *content.splits.entry(split.clone()).or_default() += 1;
            }
            let mut wrong = |what| content.wrong.entry(what).or_insert((0, line)).0 += 1;
            let label = of(label).unwrap_or_default();
            let image = columns.path(&values[0]);
            if values[0].is_empty() || label.is_empty() {
                wrong("have no path or no label");
            } else if site.is_some_and(|site| values[site].trim().is_empty()) {
                wrong("have no site");
            } else if !root.join(&image).is_file() {
                wrong("name images that are not there");
            } else if !seen.insert(image.clone()) {
                wrong("name images that an earlier row names");
            } else {
                content.rows.push(Row { image, label, site: of(site), split });
            }
            ControlFlow::Continue(())
        })?;
        Ok(content)
    }
}

/// The tables that name images, and remarks about unusable ones.
pub(super) fn candidates(
    root: &Path,
    tree: &Tree,
    only: Option<&Path>,
    wanted: Wanted<'_>,
) -> Result<(Vec<Candidate>, Vec<String>), String> {
    let (mut candidates, mut remarks) = (Vec::new(), Vec::new());
    for path in tree.tables.iter().filter(|path| only.is_none_or(|only| *path == only)) {
        let shown = path.display();
        let Some(text) = path.to_str() else {
            remarks.push(format!("{shown} is not read: its path is not UTF-8"));
            continue;
        };
        let head = match Head::read(&root.join(path)) {
            Ok(head) => head,
            Err(problem) => {
                remarks.push(format!("{text} cannot be read as a table: {problem}"));
                continue;
            }
        };
        match Columns::find(root, tree, path, &head, wanted) {
            Ok(Some(columns)) => candidates.push(Candidate { path: path.clone(), head, columns }),
            Ok(None) if only.is_some() => {
                return Err(format!(
                    "no column of {shown} names images that are there; its columns are {}",
                    head.columns.join(", ")
                ));
            }
            Ok(None) => {}
            Err(problem) if only.is_some() => return Err(problem),
            Err(problem) => remarks.push(problem),
        }
    }
    Ok((candidates, remarks))
}

/// The labelled tables to use: one, or one per split with the same columns.
pub(super) fn choose(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let of = |candidates: &[Candidate], split| {
        candidates.iter().position(|candidate| candidate.split_name() == Some(split))
    };
    let train = of(&candidates, SplitName::Train);
    let test = of(&candidates, SplitName::Test).or(of(&candidates, SplitName::Validation));
    if let (Some(train), Some(test)) = (train, test) {
        let names = |at: usize| {
            let candidate: &Candidate = &candidates[at];
            let columns = &candidate.columns;
            (columns.label.map(|it| candidate.name(it).to_owned()), columns.site.is_some())
        };
        if names(train) == names(test) && candidates[train].columns.split.is_none() {
            let test_table = candidates.remove(test);
            let train_table = candidates.remove(if train > test { train - 1 } else { train });
            return vec![train_table, test_table];
        }
    }
    // The one that covers most images, and the outermost in a tie.
    let best = candidates.iter().enumerate().min_by_key(|(place, candidate)| {
        let columns = &candidate.columns;
        let told = [columns.site, columns.split].iter().flatten().count();
        (candidate.path.components().count(), std::cmp::Reverse(told), *place)
    });
    match best.map(|(place, _)| place) {
        Some(place) => vec![candidates.swap_remove(place)],
        None => Vec::new(),
    }
}
