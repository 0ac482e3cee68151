//! MATLAB files whose arrays name images and their classes.

use std::borrow::Cow;
use std::path::Path;

use super::description::Description;
use super::layout::{MatLayout, SplitVariables};
use super::mat_file::{Array, MatFile, Value};
use super::table::{self, Table};
use super::{Built, Split};
use crate::Error;

/// The part of an array element that fills a slot.
#[derive(Debug)]
enum Slot {
    /// The index of the element, from 1 as in MATLAB.
    Number,
    /// The element of an array of numbers.
    Value,
    /// `train` or `test`.
    Split,
    /// The n-th field of an array of structs.
    Field(usize),
}

/// Reads the arrays of a layout; every image must exist.
pub(super) fn build(
    description: &Description,
    layout: &MatLayout,
    root: &Path,
) -> Result<Built, Error> {
    let lists = table::lists(description, &layout.train, &layout.test, &layout.files)?;
    if layout.split.is_some() && layout.files.is_none() {
        let problem = "`train` and `test` are files of their own";
        let remedy = "name the files in `files`, or remove `split`";
        return Err(description.field("layout.split", problem, remedy));
    }
    let mut table = Table::new(description, root, layout.first_label, "element")?;
    for (split, name) in lists {
        let file = table.next_list(name)?;
        let array = variable(description, "layout.variable", &file, &layout.variable)?;
        let (fields, count): (&[String], _) = match &array {
            Array::Numbers(numbers) => (&[], numbers.len()),
            Array::Structs { fields, values } => (fields, values.len() / fields.len()),
        };
        let resolve = |name: &str| slot(&array, fields, name);
        let image = table::parse(description, "image", &layout.image, resolve)?;
        let label = table::parse(description, "label", &layout.label, resolve)?;
        let splits = match &layout.split {
            Some(variables) => splits(description, variables, root, count)?,
            None => vec![split; count],
        };
        for (index, split) in splits.into_iter().enumerate() {
            if split.is_none() && layout.split.is_some() {
                table.pass_over();
                continue;
            }
            let number = index + 1;
            let value = |slot: &Slot| match (slot, &array) {
                (Slot::Number, _) => Ok(number.to_string().into()),
                (Slot::Split, _) => table::split_name(split).map(Cow::from),
                (Slot::Field(field), Array::Structs { fields, values }) => {
                    as_text(&values[index * fields.len() + field])
                        .map_err(|problem| format!("the field {:?} {problem}", fields[*field]))
                }
                (_, Array::Numbers(numbers)) => as_text(&Value::Number(numbers[index]))
                    .map_err(|problem| format!("the element {problem}")),
                (Slot::Value, _) => Err("a struct has fields, not a {value}".to_owned()),
            };
            let wrong = |problem| table.wrong(number, problem, "fetch the file again");
            let image = image.fill(value).map_err(wrong)?;
            let label = label.fill(value).map_err(wrong)?;
            table.add_image(number, &image)?;
            table.add(number, &label, split)?;
        }
    }
    table.finish()
}

/// Resolves a name in braces.
fn slot(array: &Array, fields: &[String], name: &str) -> Result<Slot, String> {
    if let Some(field) = fields.iter().position(|field| field == name) {
        return Ok(Slot::Field(field));
    }
    match (name, array) {
        ("number", _) => Ok(Slot::Number),
        ("split", _) => Ok(Slot::Split),
        ("value", Array::Numbers(_)) => Ok(Slot::Value),
        (_, Array::Numbers(_)) => {
            Err(format!("{{{name}}} is not one of {{number}}, {{value}}, {{split}}"))
        }
        _ => {
            Err(format!("{{{name}}} is not one of {{number}}, {{split}} and the fields {fields:?}"))
        }
    }
}

/// The split of each element, by the variables with their indices; `None` for one in no variable.
fn splits(
    description: &Description,
    variables: &SplitVariables,
    root: &Path,
    count: usize,
) -> Result<Vec<Option<Split>>, Error> {
    let file = description.find("list of images", root.join(&variables.file))?;
    let mut splits = vec![None; count];
    for (split, names, key) in [
        (Split::Train, &variables.train, "layout.split.train"),
        (Split::Test, &variables.test, "layout.split.test"),
    ] {
        for name in names.as_slice() {
            let Array::Numbers(numbers) = variable(description, key, &file, name)? else {
                let problem = format!("`{name}` of {} holds structs", file.display());
                return Err(description.field(key, problem, "name an array of numbers"));
            };
            for (index, number) in numbers.into_iter().enumerate() {
                let wrong = |problem: String| Error::Entry {
                    file: file.clone(),
                    place: format!("element {} of `{name}`", index + 1),
                    problem,
                    remedy: "fetch the file again".to_owned(),
                };
                if number.fract() != 0.0 || number < 1.0 || number > count as f64 {
                    return Err(wrong(format!("{number} is not a number from 1 to {count}")));
                }
                if splits[number as usize - 1].replace(split).is_some() {
                    return Err(wrong(format!("the image {number} comes twice")));
                }
            }
        }
    }
    Ok(splits)
}

fn variable(description: &Description, key: &str, file: &Path, name: &str) -> Result<Array, Error> {
    let mat = MatFile::read(file)?;
    mat.array(file, name)?.ok_or_else(|| {
        let problem = format!("{} has no variable `{name}`", file.display());
        description.field(key, problem, format!("name one of {:?}", mat.names()))
    })
}

/// Texts unchanged, integers as digits.
fn as_text(value: &Value) -> Result<Cow<'static, str>, String> {
    match value {
        Value::Text(text) if !text.is_empty() => Ok(text.clone().into()),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(53) => {
            Ok((*number as i64).to_string().into())
        }
        Value::Number(number) => Err(format!("is {number}, not a whole number")),
        _ => Err("is neither a number nor a text".to_owned()),
    }
}
