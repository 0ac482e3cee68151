use std::path::PathBuf;

use flora_core::images::{self, EXTENSIONS, FolderError, Found};

use crate::InferenceError;

/// The image files in `paths`, in order: a file itself, whatever its extension; for a folder, all files below it with
/// an image's extension, sorted by path. Links to folders are followed. Hidden files and folders are skipped; other
/// files are counted.
///
/// # Errors
///
/// A path that does not exist, a folder that cannot be read, or a folder without images.
pub fn find_images(paths: &[PathBuf]) -> Result<Found, InferenceError> {
    let mut all = Found::default();
    for path in paths {
        if !path.is_dir() {
            // Opening a named pipe would block.
            if !path.is_file() {
                let problem =
                    if path.exists() { "not a regular file" } else { "no such file or folder" };
                return Err(InferenceError::file(path, problem));
            }
            all.images.push(path.clone());
            continue;
        }
        let read = |error: FolderError| InferenceError::read(&error.path)(error.source);
        let mut found = images::below(path).map_err(read)?;
        if found.images.is_empty() {
            let known = EXTENSIONS.join(", ");
            let mut problem = format!("no images in it (files that end in {known})");
            if let Some(others) = found.passed_over.warning() {
                problem.push_str(&format!("; {others}"));
            }
            return Err(InferenceError::file(path, problem));
        }
        found.images.sort();
        all.images.extend(found.images);
        all.passed_over.extend(found.passed_over);
    }
    Ok(all)
}

/// The files of [`find_images`], without the count.
///
/// # Errors
///
/// As [`find_images`].
pub fn image_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, InferenceError> {
    Ok(find_images(paths)?.images)
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
        std::fs::write(folder.path().join("a.avif"), "").unwrap();
        let error = image_files(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no images") && error.contains("1 .avif"), "{error}");
    }
}
