use std::path::Path;

use flora_core::files::read_text;
use flora_data::Template;

use crate::InferenceError;

/// The non-empty lines of a text file, trimmed.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8, or is empty.
pub fn read_lines(path: &Path) -> Result<Vec<String>, InferenceError> {
    let text = read_text(path).map_err(InferenceError::read(path))?;
    let lines = text.lines().map(str::trim);
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(InferenceError::file(path, "has no line of text"));
    }
    Ok(lines)
}

/// The lines of a text file unchanged, including empty ones: row i belongs to line i.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8, or is empty.
pub fn read_texts(path: &Path) -> Result<Vec<String>, InferenceError> {
    let text = read_text(path).map_err(InferenceError::read(path))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(InferenceError::file(path, "has no line of text"));
    }
    Ok(lines)
}

/// The sentences of each class: its name in every template.
pub fn sentences<S: AsRef<str>>(classes: &[S], templates: &[Template]) -> Vec<Vec<String>> {
    let fill = |class: &S| templates.iter().map(|template| template.fill(class.as_ref())).collect();
    classes.iter().map(fill).collect()
}
