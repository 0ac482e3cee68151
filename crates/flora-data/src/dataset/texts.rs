//! A text for each image, from a file of JSON lines beside the data set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Dataset;
use crate::Error;

/// Where the texts are, as the description says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextsEntry {
    /// The file, one JSON object a line.
    pub(super) file: PathBuf,
    /// The field that equals the name of an image file without its extension.
    pub(super) key: String,
    /// The field that holds the text.
    pub(super) text: String,
}

/// Texts to look images up by, and images to look texts up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Every text once, in the order of the file: also those of no image, which an image may be
    /// confused with.
    pub texts: Vec<String>,
    /// The text of each sample, as a place in `texts`; `None` for a sample without one.
    pub of: Vec<Option<usize>>,
}

impl Dataset {
    /// The texts that the description's `[texts]` names.
    ///
    /// # Errors
    ///
    /// No such section, a file that cannot be read or does not have the fields, and texts of no image at
    /// all.
    pub fn texts(&self) -> Result<Texts, Error> {
        let Some(TextsEntry { file, key, text }) = &self.shared.texts else {
            return Err(Error::NoTexts { dataset: self.name().to_owned() });
        };
        let (texts, places) = read(file, key, text)?;
        let of: Vec<_> = (0..self.len())
            .map(|index| self.file_stem(index).and_then(|stem| places.get(stem).copied()))
            .collect();
        if !self.is_empty() && of.iter().all(Option::is_none) {
            let problem = format!("no image file is called like a `{key}`");
            return Err(syntax(file, problem));
        }
        Ok(Texts { texts, of })
    }
}

/// The different texts, and the place of each key's.
fn read(
    file: &Path,
    key: &str,
    text: &str,
) -> Result<(Vec<String>, HashMap<String, usize>), Error> {
    let content = std::fs::read_to_string(file).map_err(Error::io("read the texts", file))?;
    let (mut texts, mut place_of) = (Vec::new(), HashMap::new());
    let mut places = HashMap::new();
    for (number, line) in content.lines().enumerate() {
        let wrong = |problem: String| syntax(file, format!("line {}: {problem}", number + 1));
        let object: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let field = |name: &str| match object.get(name) {
            Some(Value::String(value)) => Ok(value.clone()),
            _ => Err(wrong(format!("there is no text in the field {name:?}"))),
        };
        let (key, text) = (field(key)?, field(text)?);
        let place = *place_of.entry(text.clone()).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        });
        if places.insert(key.clone(), place).is_some() {
            return Err(wrong(format!("{key:?} comes twice")));
        }
    }
    Ok((texts, places))
}

fn syntax(file: &Path, problem: String) -> Error {
    let remedy = "correct the file, or `[texts]` in the description";
    Error::Syntax { file: file.to_owned(), problem, remedy }
}
