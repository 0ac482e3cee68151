use std::path::{Path, PathBuf};

use flora_core::images::{EXTENSIONS, has_extension};

use crate::InferenceError;

/// The image files that `paths` name, in their order: a file is itself, whatever its extension; of a
/// folder all files below it with an image's extension, sorted by path. Hidden files and folders are
/// left out.
///
/// # Errors
///
/// A path that is not there, a folder that cannot be read, and a folder without images.
pub fn image_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, InferenceError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            // A named pipe would be waited for.
            if !path.is_file() {
                let problem =
                    if path.exists() { "no regular file" } else { "no such file or folder" };
                return Err(InferenceError::file(path, problem));
            }
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        below(path, &mut found)?;
        if found.is_empty() {
            let problem = format!("no images in it (files that end in {})", EXTENSIONS.join(", "));
            return Err(InferenceError::file(path, problem));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), InferenceError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(InferenceError::read(&folder))? {
            let entry = entry.map_err(InferenceError::read(&folder))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            // The entry's own kind: a link to a folder above would never end.
            let kind = entry.file_type().map_err(InferenceError::read(&path))?;
            if kind.is_dir() {
                folders.push(path);
            } else if has_extension(&path) && path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_order_and_files_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("b/.hidden")).unwrap();
        for name in ["b/z.png", "b/a.JPG", "c.webp", "a.txt", ".x.png", "b/.hidden/y.png"] {
            std::fs::write(path(name), "").unwrap();
        }
        let found = image_files(&[path("a.txt"), folder.path().to_owned()]).unwrap();
        assert_eq!(found, ["a.txt", "b/a.JPG", "b/z.png", "c.webp"].map(path));
        let error = image_files(&[path("nowhere")]).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
        let error = image_files(&[path("b/.hidden/y.png"), path("b/.hidden")]);
        assert_eq!(error.unwrap().len(), 2);
    }

    #[test]
    fn a_folder_without_images_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = image_files(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no images"), "{error}");
    }
}
