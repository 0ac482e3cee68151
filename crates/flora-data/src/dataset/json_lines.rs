//! Files with one JSON object per line, each of which names an image and its class.

use std::borrow::Cow;
use std::path::Path;

use flora_core::files;
use serde_json::{Map, Value};

use super::Built;
use super::description::Description;
use super::layout::JsonLinesLayout;
use super::table::{self, Table};
use crate::Error;

/// Reads the files of a layout; every image must exist.
pub(super) fn build(
    description: &Description,
    layout: &JsonLinesLayout,
    root: &Path,
) -> Result<Built, Error> {
    let lists = table::lists(description, &layout.train, &layout.test, &layout.files)?;
    let splits = table::split_values(description, &layout.split, &layout.files)?;
    let parse = |key, text: &str| table::parse(description, key, text, named);
    let image = parse("image", &layout.image)?;
    let label = parse("label", &layout.label)?;
    let domain = layout.domain.as_ref().map(|domain| parse("domain", domain)).transpose()?;
    let mut table = Table::new(description, root, layout.first_label, "line")?;
    for (split, name) in lists {
        let file = table.next_list(name)?;
        let text = files::read_text(&file).map_err(Error::io("read", &file))?;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let wrong = |problem| table.wrong(number, problem, "correct the line or remove it");
            let object: Map<String, Value> = serde_json::from_str(line)
                .map_err(|error| wrong(format!("it is not a JSON object: {error}")))?;
            let value = |name: &String| match text_of(&object, name) {
                Some(value) => Ok(value),
                None => Err(format!("there is no text and no number in the field {name:?}")),
            };
            let split = match &layout.split {
                None => split,
                // Files may have further lines, often without labels.
                Some(split) => {
                    let value = text_of(&object, &split.column);
                    match value.and_then(|value| splits.get(value.trim()).copied()) {
                        None => {
                            table.pass_over();
                            continue;
                        }
                        split => split,
                    }
                }
            };
            let label = label.fill(value).map_err(wrong)?;
            let domain =
                domain.as_ref().map(|domain| domain.fill(value)).transpose().map_err(wrong)?;
            let image = image.fill(value).map_err(wrong)?;
            table.add_image(number, &image)?;
            table.add_of(number, &label, domain.as_deref(), split)?;
        }
    }
    table.finish()
}

/// Accepts any field name.
fn named(name: &str) -> Result<String, String> {
    match name {
        "" => Err("{} names no field".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// The text, number or Boolean in a field; `None` for anything else, and for the empty text.
pub(crate) fn text_of<'a>(object: &'a Map<String, Value>, name: &str) -> Option<Cow<'a, str>> {
    match object.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(truth.to_string().into()),
        _ => None,
    }
}
