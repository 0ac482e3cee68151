//! Recursive search for images in a folder.

use std::io;
use std::path::{Path, PathBuf};

use super::{PassedOver, has_extension};

/// The files found in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Files with the extension of an image.
    pub images: Vec<PathBuf>,
    /// The other files.
    pub passed_over: PassedOver,
}

/// A folder could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the folder {}: {source}", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// The operating system's error.
    pub source: io::Error,
}

/// The images in `folder` and in the folders below it, in the order of torchvision's
/// [`ImageFolder`](https://docs.pytorch.org/vision/main/generated/torchvision.datasets.ImageFolder.html): folder by
/// folder, by path, and by name in each. Links to folders are followed, but never in circles. Hidden files and folders
/// are skipped.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn below(folder: &Path) -> Result<Found, FolderError> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    descend(folder, &mut Vec::new(), &mut folders, &mut files)?;
    // By the bytes of the path, as Python sorts: `a b` comes before `a/b`.
    let mut order: Vec<usize> = (0..folders.len()).collect();
    order.sort_by(|&a, &b| bytes(&folders[a]).cmp(bytes(&folders[b])));
    let mut found = Found::default();
    for at in order {
        for file in std::mem::take(&mut files[at]) {
            if has_extension(&file) && file.is_file() {
                found.images.push(file);
            } else {
                found.passed_over.add(&file);
            }
        }
    }
    Ok(found)
}

/// Adds the files of `folder` and of the folders below it; `above` lists the folders on the way, with links resolved.
fn descend(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
    files: &mut Vec<Vec<PathBuf>>,
) -> Result<(), FolderError> {
    let real = folder.canonicalize().map_err(failed(folder))?;
    // `folder` is one of the folders on the way, or contains one: descending would never end.
    if above.iter().any(|on_the_way| on_the_way.starts_with(&real)) {
        return Ok(());
    }
    let (inner, outer): (Vec<_>, Vec<_>) =
        entries(folder)?.into_iter().partition(|path| path.is_dir());
    folders.push(folder.to_owned());
    files.push(outer);
    above.push(real);
    for path in inner {
        descend(&path, above, folders, files)?;
    }
    above.pop();
    Ok(())
}

/// The entries of `folder`, without hidden files and folders. They are sorted by name, because the order of a directory
/// differs from one disk to the next.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn failed(folder: &Path) -> impl Fn(io::Error) -> FolderError {
    move |source| FolderError { path: folder.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(root: &Path, found: &Found) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        found.images.iter().map(name).collect()
    }

    /// The expected order is `[path for path, _ in make_dataset(root, class_to_idx, IMG_EXTENSIONS)]` of torchvision
    /// 0.29.2 on these files, without the prefix: see `tests/torchvision_order.py`.
    #[test]
    fn the_order_is_torchvision_s() {
        let files = [
            "z.png",
            "a.jpg",
            "b/1.png",
            "a b/3.PNG",
            "a/2.png",
            "a/c/9.ppm",
            "a/c-d/8.png",
            "B/0.png",
            "notes.txt",
            ".hidden/x.png",
            ".y.png",
        ];
        let folder = folder_with(&files);
        let found = below(folder.path()).unwrap();
        assert_eq!(
            names(folder.path(), &found),
            [
                "a.jpg",
                "z.png",
                "B/0.png",
                "a/2.png",
                "a b/3.PNG",
                "a/c/9.ppm",
                "a/c-d/8.png",
                "b/1.png"
            ]
        );
        assert_eq!(found.passed_over.to_string(), "1 .txt");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_not_in_circles() {
        let folder = folder_with(&["cat/1.png", "other/2.png", "cat/sub/3.png"]);
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(path("other"), path("cat/linked")).unwrap();
        std::os::unix::fs::symlink(path("cat"), path("cat/sub/round")).unwrap();
        // The parent of the class folders belongs to no class.
        std::os::unix::fs::symlink(folder.path(), path("cat/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("cat/lost.png")).unwrap();
        let found = below(&path("cat")).unwrap();
        assert_eq!(names(&path("cat"), &found), ["1.png", "linked/2.png", "sub/3.png"]);
        assert_eq!(found.passed_over.to_string(), "1 that lead to no file");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = below(Path::new("/nowhere/at all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at all"), "{error}");
    }
}
