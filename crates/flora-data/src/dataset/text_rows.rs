//! Rows of a file of texts, in any format.

use std::path::Path;

use csv::ReaderBuilder;
use flora_core::files;
use serde_json::Value;

use crate::Error;

/// The key and the text of each row, in order; a row with several texts occurs once for each.
pub(super) fn rows(file: &Path, key: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
    let content = files::read_text(file).map_err(Error::io("read the texts", file))?;
    let extension = file.extension().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("csv") => table(file, &content, b',', key, text),
        Some("tsv") => table(file, &content, b'\t', key, text),
        _ if content.trim_start().starts_with('[') => {
            let wrong = |problem: String| wrong(file, problem);
            let objects: Vec<Value> =
                serde_json::from_str(&content).map_err(|error| wrong(error.to_string()))?;
            let objects = objects.iter().enumerate();
            let place = |at| format!("object {}", at + 1);
            objects.map(|(at, object)| pairs(file, place(at), object, key, text)).flat().collect()
        }
        _ => {
            let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let row = |(at, line): (usize, &str)| {
                let place = format!("line {}", at + 1);
                let object = serde_json::from_str(line)
                    .map_err(|error| wrong(file, format!("{place}: {error}")))?;
                pairs(file, place, &object, key, text)
            };
            lines.map(row).flat().collect()
        }
    }
}

/// Flattens lists of pairs, or returns the first error.
trait Flat: Iterator<Item = Result<Vec<(String, String)>, Error>> + Sized {
    fn flat(self) -> impl Iterator<Item = Result<(String, String), Error>> {
        self.flat_map(|pairs| match pairs {
            Ok(pairs) => pairs.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }
}

impl<I: Iterator<Item = Result<Vec<(String, String)>, Error>>> Flat for I {}

/// The pairs in an object.
fn pairs(
    file: &Path,
    place: String,
    object: &Value,
    key: &str,
    text: &str,
) -> Result<Vec<(String, String)>, Error> {
    let lacks = |name: &str| {
        let names: Vec<_> = object.as_object().into_iter().flat_map(|all| all.keys()).collect();
        wrong(file, format!("{place}: there is no text in the field {name:?}; it has {names:?}"))
    };
    let key = match object.get(key) {
        Some(Value::String(key)) => key.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(lacks(key)),
    };
    let texts = match object.get(text) {
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(several)) => several,
        _ => return Err(lacks(text)),
    };
    let pair = |value: &Value| Some((key.clone(), value.as_str()?.to_owned()));
    texts.iter().map(pair).collect::<Option<_>>().ok_or_else(|| lacks(text))
}

/// The rows of a table with a header.
fn table(
    file: &Path,
    content: &str,
    delimiter: u8,
    key: &str,
    text: &str,
) -> Result<Vec<(String, String)>, Error> {
    let damaged = |error: csv::Error| wrong(file, error.to_string());
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(content.as_bytes());
    let header = reader.headers().map_err(damaged)?.clone();
    let column = |name: &str| {
        header.iter().position(|column| column.trim() == name).ok_or_else(|| {
            let columns: Vec<_> = header.iter().collect();
            wrong(file, format!("it has no column {name:?}, but {columns:?}"))
        })
    };
    let (key, text) = (column(key)?, column(text)?);
    let row = |record: Result<csv::StringRecord, _>| {
        let record = record.map_err(damaged)?;
        Ok((record[key].to_owned(), record[text].to_owned()))
    };
    reader.records().map(row).collect()
}

fn wrong(file: &Path, problem: String) -> Error {
    let remedy = "correct the file, or `[texts]` in the description";
    Error::Syntax { file: file.to_owned(), problem, remedy }
}
