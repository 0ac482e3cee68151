//! Image files in a folder tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flora_core::images::{EXTENSIONS, has_extension};

use super::description::Description;
use super::layout::{FolderLayout, SplitFolders};
use super::pattern::{Level, Pattern};
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Walk the tree and check it against the description.
pub(super) fn build(
    description: &Description,
    layout: &FolderLayout,
    root: &Path,
) -> Result<Built, Error> {
    let pattern = Pattern::parse(&layout.pattern).map_err(|problem| {
        description.field(
            "layout.pattern",
            problem,
            "write one such as \"{class}\" or \"images/{domain}/{split}/{class}\"",
        )
    })?;
    let splits = split_folders(description, &pattern, layout.splits.as_ref())?;
    let mut walk = Walk {
        description,
        splits,
        ignore: &layout.ignore,
        listed: listed_folders(description)?,
        split_folders: BTreeSet::new(),
        class_folders: BTreeSet::new(),
        found: Vec::new(),
    };
    walk.descend(root, pattern.levels(), &Place::default())?;
    walk.check(root, &pattern)?;
    Ok(walk.finish())
}

/// Which split a folder name stands for.
fn split_folders(
    description: &Description,
    pattern: &Pattern,
    splits: Option<&SplitFolders>,
) -> Result<BTreeMap<String, Split>, Error> {
    if !pattern.has(&Level::Split) {
        return match splits {
            None => Ok(BTreeMap::new()),
            Some(_) => Err(description.field(
                "layout.splits",
                "`layout.pattern` has no {split}",
                "add {split} to the pattern or remove [layout.splits]",
            )),
        };
    }
    let splits = splits.cloned().unwrap_or_default();
    let mut names = BTreeMap::new();
    for (split, folders) in [(Split::Train, &splits.train), (Split::Test, &splits.test)] {
        for folder in folders.as_slice() {
            if names.insert(folder.clone(), split).is_some() {
                return Err(description.field(
                    "layout.splits",
                    format!("the folder {folder:?} is named twice"),
                    "name each split folder once, under `train` or under `test`",
                ));
            }
        }
    }
    Ok(names)
}

/// The label of each class folder that the description lists; empty when it lists none.
fn listed_folders(description: &Description) -> Result<BTreeMap<String, usize>, Error> {
    let mut listed = BTreeMap::new();
    for (label, class) in description.classes.iter().enumerate() {
        let at = format!("classes[{label}].folder");
        let Some(folder) = &class.key else {
            return Err(description.field(
                at,
                format!("the class {:?} has no folder", class.name),
                "add the name of the folder that holds its images",
            ));
        };
        if listed.insert(folder.clone(), label).is_some() {
            return Err(description.field(
                at,
                format!("{folder:?} is the folder of an earlier class"),
                "give each class its own folder",
            ));
        }
    }
    Ok(listed)
}

/// The folders passed on the way down.
#[derive(Debug, Clone, Default)]
struct Place {
    domain: Option<String>,
    split: Option<Split>,
    class: String,
    /// Whether a placeholder was passed; only above it must a literal folder exist.
    branched: bool,
}

struct Walk<'a> {
    description: &'a Description,
    splits: BTreeMap<String, Split>,
    ignore: &'a [String],
    listed: BTreeMap<String, usize>,
    split_folders: BTreeSet<String>,
    class_folders: BTreeSet<String>,
    found: Vec<(PathBuf, Place)>,
}

impl Walk<'_> {
    fn descend(&mut self, folder: &Path, levels: &[Level], place: &Place) -> Result<(), Error> {
        let Some((level, below)) = levels.split_first() else {
            for file in image_files(folder)? {
                self.found.push((file, place.clone()));
            }
            return Ok(());
        };
        if let Level::Literal(name) = level {
            let path = folder.join(name);
            return match path.is_dir() {
                true => self.descend(&path, below, place),
                false if place.branched => Ok(()),
                false => Err(self.description.missing("image folder", path)),
            };
        }
        for (name, path) in sub_folders(folder)? {
            let mut place = place.clone();
            place.branched = true;
            match level {
                Level::Domain => place.domain = Some(name),
                Level::Split => {
                    place.split = self.splits.get(&name).copied();
                    self.split_folders.insert(name);
                    // Data sets ship further splits, often without labels.
                    if place.split.is_none() {
                        continue;
                    }
                }
                Level::Class if self.ignore.contains(&name) => continue,
                Level::Class => {
                    self.check_class(&name, &path)?;
                    self.class_folders.insert(name.clone());
                    place.class = name;
                }
                Level::Literal(_) => unreachable!("handled above"),
            }
            self.descend(&path, below, &place)?;
        }
        Ok(())
    }

    fn check_class(&self, name: &str, path: &Path) -> Result<(), Error> {
        if self.listed.is_empty() || self.listed.contains_key(name) {
            return Ok(());
        }
        Err(self.description.class_count(
            format!(
                "`classes` lists {} classes, and the folder {} is none of them",
                self.listed.len(),
                path.display()
            ),
            format!(
                "add a [[classes]] entry with `folder = {name:?}`, or name the folder in \
                 `layout.ignore`"
            ),
        ))
    }

    fn check(&self, root: &Path, pattern: &Pattern) -> Result<(), Error> {
        let with_images: BTreeSet<&str> =
            self.found.iter().map(|(_, place)| place.class.as_str()).collect();
        if with_images.is_empty() {
            let what = "image of any class";
            return Err(match self.description.where_images_are(root, pattern) {
                Some(remedy) => Error::Missing { what, path: root.to_owned(), remedy },
                None => self.description.missing(what, root.to_owned()),
            });
        }
        let expected: BTreeSet<&str> = match self.listed.is_empty() {
            true => self.class_folders.iter().map(String::as_str).collect(),
            false => self.listed.keys().map(String::as_str).collect(),
        };
        if let Some(empty) = expected.difference(&with_images).next() {
            return Err(self.description.class_count(
                format!(
                    "{} classes are expected under {}, but the folder {empty:?} holds no image",
                    expected.len(),
                    root.display()
                ),
                match self.description.where_images_are(root, pattern) {
                    Some(remedy) => remedy,
                    None => {
                        format!("add its images (.{}), or remove the class", EXTENSIONS.join(", ."))
                    }
                },
            ));
        }
        if !pattern.has(&Level::Split) {
            return Ok(());
        }
        for (split, field) in
            [(Split::Train, "layout.splits.train"), (Split::Test, "layout.splits.test")]
        {
            if !self.found.iter().any(|(_, place)| place.split == Some(split)) {
                return Err(self.description.field(
                    field,
                    format!(
                        "no image is in such a folder; the split folders are {:?}",
                        self.split_folders
                    ),
                    "name one of them",
                ));
            }
        }
        Ok(())
    }

    fn finish(self) -> Built {
        let (classes, labels) = if self.listed.is_empty() {
            let labels = self.class_folders.iter().cloned().zip(0..).collect();
            let names = self.class_folders.iter();
            let spaced = names.map(|name| name.replace(['_', '-'], " ")).collect();
            (spaced, labels)
        } else {
            let names = self.description.classes.iter();
            (names.map(|class| class.name.clone()).collect(), self.listed)
        };
        let domains: BTreeSet<String> =
            self.found.iter().filter_map(|(_, place)| place.domain.clone()).collect();
        let numbers: BTreeMap<&String, usize> = domains.iter().zip(0..).collect();
        let mut files = Vec::with_capacity(self.found.len());
        let mut samples = Vec::with_capacity(self.found.len());
        for (file, place) in self.found {
            let domain = place.domain.as_ref().map(|domain| numbers[domain]);
            samples.push(Sample::new(files.len(), labels[&place.class], domain, place.split));
            files.push(file);
        }
        Built {
            classes,
            domains: domains.into_iter().collect(),
            samples,
            source: Source::Files(files),
        }
    }
}

/// The folders in `folder`, sorted by name, without hidden ones.
fn sub_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut folders = Vec::new();
    for path in entries(folder)? {
        let Some(name) = path.file_name().filter(|_| path.is_dir()) else {
            continue;
        };
        let Some(name) = name.to_str() else {
            return Err(Error::io("read", &path)(std::io::Error::other(
                "the folder's name is not UTF-8: rename it",
            )));
        };
        folders.push((name.to_owned(), path));
    }
    Ok(folders)
}

/// The image files directly in `folder`, sorted by name, without hidden ones.
fn image_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = entries(folder)?;
    files.retain(|path| has_extension(path) && path.is_file());
    Ok(files)
}

/// Sorted, because the order of a directory differs from one disk to the next.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::io("read the folder", folder)(error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
