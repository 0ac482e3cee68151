//! Suggests a pattern if a layout does not fit.

use std::path::Path;

use super::levels::{self, fits};
use super::tree::Tree;

/// Maximum number of entries read for a suggestion.
const MOST: usize = 100_000;

/// The location of the images below a folder, and a pattern that matches them.
#[derive(Debug)]
pub(crate) struct Suggestion {
    /// As in `the images are two levels down, as in hospital-a/covid/1.png`.
    pub(crate) place: String,
    /// As in `{domain}/{class}`.
    pub(crate) pattern: String,
}

/// A pattern for the images below `root`, if there are any and their folders determine it.
pub(crate) fn suggestion(root: &Path) -> Option<Suggestion> {
    let tree = Tree::read(root, MOST).ok()?;
    let reading = levels::guess(&tree).ok()?;
    let levels = reading.pattern.levels();
    let example = tree.with_images().find(|folder| fits(levels, &folder.levels))?.first.as_ref()?;
    let down = match levels.len() {
        1 => "one level down".to_owned(),
        2 => "two levels down".to_owned(),
        3 => "three levels down".to_owned(),
        more => format!("{more} levels down"),
    };
    let example = example.strip_prefix(root).unwrap_or(example).display();
    Some(Suggestion {
        place: format!("the images are {down}, as in {example}"),
        pattern: reading.pattern.to_string(),
    })
}
