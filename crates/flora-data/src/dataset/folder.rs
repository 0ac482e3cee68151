//! Image files in a folder tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flora_core::images::{self, FolderError, Found, PassedOver};

use super::class_names::class_names;
use super::description::Description;
use super::layout::{FolderLayout, SplitFolders};
use super::pattern::{Level, Pattern};
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Reads the tree and checks it against the description.
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
        passed_over: PassedOver::default(),
    };
    walk.descend(root, pattern.levels(), &Place::default()).map_err(|error| match error {
        Error::Missing { what, path, remedy } => {
            let fitting = description.where_images_are(root, &pattern);
            let remedy =
                fitting.map_or(remedy.clone(), |fitting| format!("{fitting}; otherwise {remedy}"));
            Error::Missing { what, path, remedy }
        }
        error => error,
    })?;
    walk.check(root, &pattern)?;
    walk.finish()
}

/// The split that a folder name stands for.
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

/// The label of each class folder in the description; empty if it lists none.
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

/// The folders on the way down.
#[derive(Debug, Clone, Default)]
struct Place {
    domain: Option<String>,
    split: Option<Split>,
    class: String,
    /// Whether a placeholder has been passed; only above one must a literal folder exist.
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
    passed_over: PassedOver,
}

impl Walk<'_> {
    fn descend(&mut self, folder: &Path, levels: &[Level], place: &Place) -> Result<(), Error> {
        let Some((level, below)) = levels.split_first() else {
            let Found { images, passed_over } = images::below(folder)?;
            self.found.extend(images.into_iter().map(|file| (file, place.clone())));
            self.passed_over.extend(passed_over);
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
        for (name, path) in self.sub_folders(folder)? {
            let mut place = place.clone();
            place.branched = true;
            match level {
                Level::Domain => place.domain = Some(name),
                Level::Split => {
                    place.split = self.splits.get(&name).copied();
                    self.split_folders.insert(name);
                    // Data sets contain further splits, often without labels.
                    if place.split.is_none() {
                        self.passed_over.add_other_splits(images::below(&path)?.images.len());
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
                    None => format!(
                        "add its images (.{}), or remove the class",
                        images::EXTENSIONS.join(", .")
                    ),
                },
            ));
        }
        self.check_depth(root, pattern)?;
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

    /// For a plain folder, torchvision reads `site/cat/1.png` as an image of the class `site`. If the same folders
    /// occur below each, that is hardly intended.
    fn check_depth(&self, root: &Path, pattern: &Pattern) -> Result<(), Error> {
        if !self.description.is_plain() {
            return Ok(());
        }
        let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, place) in &self.found {
            let folders = file.parent().and_then(|folder| folder.strip_prefix(root).ok());
            let mut below = folders.into_iter().flat_map(Path::iter);
            below.find(|folder| *folder == place.class.as_str());
            match below.next().and_then(|folder| folder.to_str()) {
                Some(inner) => owners.entry(inner).or_default().insert(&place.class),
                // An image lies directly in a class folder.
                None => return Ok(()),
            };
        }
        let Some((inner, outer)) = owners.iter().find(|(_, outer)| outer.len() > 1) else {
            return Ok(());
        };
        let examples: Vec<String> =
            outer.iter().take(2).map(|outer| format!("{outer}/{inner}")).collect();
        let fitting = self.description.where_images_are(root, pattern);
        let remedy = "say in a file dataset.toml which level the classes are: kind = \"image-folder\" with pattern = \
                      \"{domain}/{class}\" for sites, \"{class}/{split}\" for splits, or \"{class}\" for all images \
                      below a class folder, as torchvision's ImageFolder takes them";
        Err(self.description.field(
            "layout.pattern",
            format!(
                "no image lies directly in a class folder, and the folders below have the same names: {}",
                examples.join(", ")
            ),
            fitting.map_or(remedy.to_owned(), |fitting| format!("{fitting}; or {remedy}")),
        ))
    }

    fn finish(self) -> Result<Built, Error> {
        let (classes, labels) = if self.listed.is_empty() {
            let labels = self.class_folders.iter().cloned().zip(0..).collect();
            (class_names(self.description, "folders", &self.class_folders)?, labels)
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
        Ok(Built {
            classes,
            domains: domains.into_iter().collect(),
            samples,
            source: Source::Files(files),
            passed_over: self.passed_over,
        })
    }

    /// The folders in `folder`, sorted by name, without hidden ones.
    fn sub_folders(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
        let mut folders = Vec::new();
        for path in images::entries(folder)? {
            let Some(name) = path.file_name().filter(|_| path.is_dir()) else {
                self.passed_over.add_outside(&path);
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
}

impl From<FolderError> for Error {
    fn from(FolderError { path, source }: FolderError) -> Self {
        Self::Io { action: "read the folder", path, source }
    }
}
