//! Class names, and names that are equal to a model.

use std::collections::HashMap;

use super::description::Description;
use crate::Error;

/// A name as CLIP's tokenizer normalises it: in lower case, with single spaces.
pub(super) fn normalized(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names of classes with these `keys` in the files: with `_` and `-` read as spaces. `what` describes the keys, as
/// in `folders`.
///
/// # Errors
///
/// Two keys whose names are equal to the model, or one that leaves no name.
pub(super) fn class_names<'a>(
    description: &Description,
    what: &str,
    keys: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<String>, Error> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut names = Vec::new();
    for key in keys {
        let name = key.replace(['_', '-'], " ");
        let remedy = "rename one, or name the classes in a description (dataset.toml), an entry of \
                      `classes` each";
        let normal = normalized(&name);
        if normal.is_empty() {
            let problem = format!("no class name can be made of {key:?}, one of the {what}");
            return Err(description.field("classes", problem, remedy));
        }
        if let Some(first) = seen.insert(normal, key) {
            let problem = format!(
                "the {what} {first:?} and {key:?} are two classes, and their names are the same to the model: \
                 {name:?}"
            );
            return Err(description.field("classes", problem, remedy));
        }
        names.push(name);
    }
    Ok(names)
}
