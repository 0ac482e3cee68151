//! Images named by the rows of a list: shared code for the kinds `list`, `csv` and `mat`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use flora_core::images::PassedOver;

use super::description::Description;
use super::fill::Fill;
use super::labels::Labels;
use super::layout::{Names, SplitColumn};
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Where a sample was listed: the index of a file, and the number of a line or an element in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) number: u32,
}

/// The contents of the lists read so far.
#[derive(Debug)]
pub(super) struct Table<'a> {
    description: &'a Description,
    root: &'a Path,
    labels: Labels,
    /// The unit of rows, as in `line`.
    unit: &'static str,
    lists: Vec<PathBuf>,
    images: Vec<PathBuf>,
    listed: HashMap<PathBuf, Place>,
    samples: Vec<Sample>,
    places: Vec<Place>,
    passed_over: PassedOver,
    /// In order of occurrence.
    domains: BTreeMap<String, usize>,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        description: &'a Description,
        root: &'a Path,
        first_label: Option<usize>,
        unit: &'static str,
    ) -> Result<Self, Error> {
        Ok(Self {
            description,
            root,
            labels: Labels::new(description, first_label)?,
            unit,
            lists: Vec::new(),
            images: Vec::new(),
            listed: HashMap::new(),
            samples: Vec::new(),
            places: Vec::new(),
            passed_over: PassedOver::default(),
            domains: BTreeMap::new(),
        })
    }

    /// Advances to the next list and returns its path.
    pub(super) fn next_list(&mut self, name: &str) -> Result<PathBuf, Error> {
        let file = self.description.find("list of images", self.root.join(name))?;
        self.lists.push(file.clone());
        Ok(file)
    }

    /// Adds a sample of the current list.
    pub(super) fn add(
        &mut self,
        number: usize,
        label: &str,
        split: Option<Split>,
    ) -> Result<(), Error> {
        self.add_of(number, label, None, split)
    }

    /// Adds a sample of the current list, with a domain.
    pub(super) fn add_of(
        &mut self,
        number: usize,
        label: &str,
        domain: Option<&str>,
        split: Option<Split>,
    ) -> Result<(), Error> {
        let label = self.labels.place(label.trim()).map_err(|problem| {
            let remedy = "correct the file, or the classes and `layout.label` of the description";
            self.wrong(number, problem, remedy)
        })?;
        let domain = domain.map(|name| {
            let next = self.domains.len();
            *self.domains.entry(name.trim().to_owned()).or_insert(next)
        });
        self.samples.push(Sample::new(self.samples.len(), label, domain, split));
        self.places.push(self.here(number));
        Ok(())
    }

    /// Skips a row of a split that the description does not name.
    pub(super) fn pass_over(&mut self) {
        self.passed_over.add_other_splits(1);
    }

    /// Adds the image file of the next sample; `path` starts at the root.
    pub(super) fn add_image(&mut self, number: usize, path: &str) -> Result<(), Error> {
        let mut image = self.root.to_owned();
        // Some tables contain absolute paths of the machine that wrote them.
        let path = Path::new(path);
        for component in path.strip_prefix(self.root).unwrap_or(path).components() {
            match component {
                Component::Normal(part) => image.push(part),
                Component::CurDir => {}
                _ => {
                    let problem = format!("the path {path:?} leads out of the data set");
                    let remedy = "correct the file, or `layout.image` of the description";
                    return Err(self.wrong(number, problem, remedy));
                }
            }
        }
        if !image.is_file() {
            let problem = format!("there is no image at {}", image.display());
            return Err(self.wrong(number, problem, self.description.remedy()));
        }
        let here = self.here(number);
        match self.listed.entry(image.clone()) {
            Entry::Vacant(entry) => entry.insert(here),
            Entry::Occupied(entry) => {
                let first = *entry.get();
                let problem = format!(
                    "the image {} was listed before, at {} {} of {}",
                    image.display(),
                    self.unit,
                    first.number,
                    self.lists[first.file as usize].display()
                );
                return Err(self.wrong(number, problem, "remove one of the two"));
            }
        };
        self.images.push(image);
        Ok(())
    }

    /// The error for an invalid row of the current list.
    pub(super) fn wrong(
        &self,
        number: usize,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        Error::Entry {
            file: self.lists.last().cloned().unwrap_or_default(),
            place: format!("{} {number}", self.unit),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// The result, with its image files.
    pub(super) fn finish(mut self) -> Result<Built, Error> {
        let images = std::mem::take(&mut self.images);
        self.finish_with(|_, _| Source::Files(images))
    }

    /// The result, with images from `source`, which receives the lists and the samples' positions in them.
    pub(super) fn finish_with(
        mut self,
        source: impl FnOnce(Vec<PathBuf>, Vec<Place>) -> Source,
    ) -> Result<Built, Error> {
        let mut sorted = vec![0; self.domains.len()];
        for (place, &found) in self.domains.values().enumerate() {
            sorted[found] = place as u32;
        }
        for sample in &mut self.samples {
            sample.domain = sample.domain.map(|found| sorted[found as usize]);
        }
        Ok(Built {
            classes: self.labels.finish(self.description, &mut self.samples)?,
            domains: self.domains.into_keys().collect(),
            samples: self.samples,
            source: source(self.lists, self.places),
            passed_over: self.passed_over,
        })
    }

    fn here(&self, number: usize) -> Place {
        Place { file: (self.lists.len() - 1) as u32, number: number as u32 }
    }
}

/// The lists of a layout, with the split of each: `train` and `test`, or `files` without a split.
pub(super) fn lists<'a>(
    description: &Description,
    train: &'a Option<Names>,
    test: &'a Option<Names>,
    files: &'a Option<Names>,
) -> Result<Vec<(Option<Split>, &'a str)>, Error> {
    let parts = match (train, test, files) {
        (Some(train), Some(test), None) => {
            vec![(Some(Split::Train), train), (Some(Split::Test), test)]
        }
        (None, None, Some(files)) => vec![(None, files)],
        _ => {
            return Err(description.field(
                "layout.files",
                "there must be either `train` and `test`, or `files`",
                "name the lists of both splits, or the lists of a data set without a split",
            ));
        }
    };
    let of = |(split, names): (_, &'a Names)| {
        names.as_slice().iter().map(move |name| (split, name.as_str()))
    };
    Ok(parts.into_iter().flat_map(of).collect())
}

/// The split that a value of `layout.split.column` stands for.
pub(super) fn split_values<'a>(
    description: &Description,
    split: &'a Option<SplitColumn>,
    files: &Option<Names>,
) -> Result<HashMap<&'a str, Split>, Error> {
    let Some(column) = split else { return Ok(HashMap::new()) };
    if files.is_none() {
        let problem = "`train` and `test` are tables of their own";
        let remedy = "name the tables in `files`, or remove `split`";
        return Err(description.field("layout.split", problem, remedy));
    }
    let mut values = HashMap::new();
    for (split, names) in [(Split::Train, &column.train), (Split::Test, &column.test)] {
        for name in names.as_slice() {
            if values.insert(name.as_str(), split).is_some() {
                let problem = format!("{name:?} is named twice");
                let remedy = "name each value once, under `train` or under `test`";
                return Err(description.field("layout.split", problem, remedy));
            }
        }
    }
    Ok(values)
}

/// Parses `layout.<key>`.
pub(super) fn parse<S>(
    description: &Description,
    key: &str,
    text: &str,
    resolve: impl FnMut(&str) -> Result<S, String>,
) -> Result<Fill<S>, Error> {
    Fill::parse(text, resolve).map_err(|problem| {
        let remedy = "see the layouts in docs/datasets.md for what may stand in braces";
        description.field(format!("layout.{key}"), problem, remedy)
    })
}

/// The value of `{split}`.
pub(super) fn split_name(split: Option<Split>) -> Result<&'static str, String> {
    match split {
        Some(split) => Ok(split.as_str()),
        None => Err("`{split}` has no value in a data set without a split".to_owned()),
    }
}
