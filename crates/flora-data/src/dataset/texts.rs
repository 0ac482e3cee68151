//! Texts for images, from a file beside the data set: JSON lines, JSON or CSV.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Dataset;
use super::text_rows::rows;
use crate::Error;

/// The location of the texts, from the description.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextsEntry {
    /// The file: JSON lines, or `.json`, `.csv` or `.tsv`.
    pub(super) file: PathBuf,
    /// The field with the name of an image file.
    pub(super) key: String,
    /// The field with the text, or a list of texts.
    pub(super) text: String,
}

/// Texts for retrieval by image, and images for retrieval by text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Every text once, in the order of the file. This includes texts without an image, which are distractors.
    pub texts: Vec<String>,
    /// The texts of each sample, as indices into `texts`, in the order of the file; empty for a sample without any.
    pub of: Vec<Vec<usize>>,
}

impl Texts {
    /// The number of samples that have a text.
    pub fn images(&self) -> usize {
        self.of.iter().filter(|texts| !texts.is_empty()).count()
    }
}

impl Dataset {
    /// Whether the description has `[texts]`.
    pub fn has_texts(&self) -> bool {
        self.shared.texts.is_some()
    }

    /// Reads the texts named by the description's `[texts]`.
    ///
    /// # Errors
    ///
    /// No such section, a file that cannot be read or lacks the fields, and texts that match no image.
    pub fn texts(&self) -> Result<Texts, Error> {
        let Some(TextsEntry { file, key, text }) = &self.shared.texts else {
            return Err(Error::NoTexts { dataset: self.name().to_owned() });
        };
        let names = Names::new(self, file);
        let (mut texts, mut place_of) = (Vec::new(), HashMap::new());
        let mut of = vec![Vec::new(); self.len()];
        let mut example = None;
        for (key, text) in rows(file, key, text)? {
            let place = *place_of.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone());
                texts.len() - 1
            });
            for sample in names.samples(&key) {
                let own: &mut Vec<usize> = &mut of[sample];
                if !own.contains(&place) {
                    own.push(place);
                }
            }
            example.get_or_insert(key);
        }
        let texts = Texts { texts, of };
        if !self.is_empty() && texts.images() == 0 {
            let example = example.map(|name| format!(" such as {name:?}")).unwrap_or_default();
            let problem = format!("no image file has the name of a `{key}`{example}");
            let remedy = "correct the file, or `[texts]` in the description";
            return Err(Error::Syntax { file: file.to_owned(), problem, remedy });
        }
        Ok(texts)
    }
}

/// The image files of a data set, to be found by the names in a list.
struct Names<'a> {
    /// The samples by the names of their files, with and without the extension.
    by_name: HashMap<&'a str, Vec<(usize, &'a Path)>>,
    /// The folders that paths may start from: that of the list, and the root of the images.
    bases: [&'a Path; 2],
}

impl<'a> Names<'a> {
    fn new(dataset: &'a Dataset, list: &'a Path) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for sample in 0..dataset.len() {
            let Some(path) = dataset.file(sample) else { continue };
            let [name, stem] = [path.file_name(), path.file_stem()].map(|name| name?.to_str());
            for name in name.into_iter().chain(stem.filter(|stem| Some(*stem) != name)) {
                by_name.entry(name).or_default().push((sample, path));
            }
        }
        let parent = list.parent().unwrap_or(Path::new(""));
        Self { by_name, bases: [parent, &dataset.shared.root] }
    }

    /// The samples whose path ends with `key`, with or without the extension. A file at exactly that path, relative to
    /// the list or the root, takes precedence.
    fn samples(&self, key: &str) -> Vec<usize> {
        let slashes = key.replace('\\', "/");
        let found = self.ending(Path::new(key));
        if found.is_empty() && slashes != key { self.ending(Path::new(&slashes)) } else { found }
    }

    fn ending(&self, key: &Path) -> Vec<usize> {
        let key = key.strip_prefix(".").unwrap_or(key);
        let name = key.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ends = |path: &Path| path.ends_with(key) || path.with_extension("").ends_with(key);
        let named = self.by_name.get(name).into_iter().flatten();
        let found: Vec<_> = named.filter(|(_, path)| ends(path)).collect();
        let exact =
            found.iter().find(|(_, path)| self.bases.iter().any(|base| base.join(key) == *path));
        match exact {
            Some((sample, _)) => vec![*sample],
            None => found.into_iter().map(|(sample, _)| *sample).collect(),
        }
    }
}
