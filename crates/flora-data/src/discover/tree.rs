//! The files of a folder, listed without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use flora_core::images::has_extension;

use crate::Error;

/// No data set nests its images deeper, and a link may lead in circles.
const MOST_LEVELS: usize = 12;
/// A larger number of tables is itself data.
const MOST_TABLES: usize = 64;

/// A folder below the root, or the root itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    /// The names from the root down to it; empty for the root.
    pub(super) levels: Vec<String>,
    /// Images directly in it, by extension.
    pub(super) formats: BTreeMap<String, usize>,
    /// Images directly in it.
    pub(super) images: usize,
    /// The first of them by name.
    pub(super) first: Option<PathBuf>,
}

/// The folders and files below a root, without hidden ones.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// In the order of their paths.
    pub(super) folders: Vec<Folder>,
    /// Files that are not images, by extension (empty: none).
    pub(super) others: BTreeMap<String, usize>,
    /// Files of formats that contain many images, by remedy.
    pub(super) packed: BTreeSet<&'static str>,
    /// Tables, by their paths below the root.
    pub(super) tables: Vec<PathBuf>,
    /// Links that lead nowhere or in circles.
    pub(super) broken_links: usize,
    /// Whether folders were left out because they are too deep or too many.
    pub(super) is_cut: bool,
}

impl Tree {
    /// Lists at most `most` entries below `root`.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read, or whose name is not UTF-8: no description could name it.
    pub(super) fn read(root: &Path, most: usize) -> Result<Self, Error> {
        let mut tree = Self::default();
        let mut budget = most;
        let mut above = vec![root.canonicalize().map_err(Error::io("read the folder", root))?];
        tree.descend(root, &[], &mut above, &mut budget)?;
        tree.folders.sort_by(|a, b| a.levels.cmp(&b.levels));
        tree.tables.sort();
        Ok(tree)
    }

    /// `above` are the folders on the way, with links resolved.
    fn descend(
        &mut self,
        path: &Path,
        levels: &[String],
        above: &mut Vec<PathBuf>,
        budget: &mut usize,
    ) -> Result<(), Error> {
        let failed = |error| Error::io("read the folder", path)(error);
        let mut folder = Folder { levels: levels.to_vec(), ..Folder::default() };
        let mut below = BTreeSet::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if *budget == 0 {
                self.is_cut = true;
                break;
            }
            *budget -= 1;
            match kind(&entry.path(), entry.file_type().map_err(failed)?) {
                Kind::Folder => {
                    below.insert(entry.path());
                }
                Kind::File => self.add_file(entry.path(), levels, &mut folder),
                Kind::BrokenLink => self.broken_links += 1,
            }
        }
        self.folders.push(folder);
        for path in below {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(Error::io("read", &path)(std::io::Error::other(
                    "the folder's name is not UTF-8: rename it",
                )));
            };
            if levels.len() >= MOST_LEVELS {
                self.is_cut = true;
                continue;
            }
            let real = path.canonicalize().map_err(Error::io("read the folder", &path))?;
            if above.contains(&real) {
                self.broken_links += 1;
                continue;
            }
            let levels = [levels, &[name.to_owned()]].concat();
            above.push(real);
            self.descend(&path, &levels, above, budget)?;
            above.pop();
        }
        Ok(())
    }

    fn add_file(&mut self, path: PathBuf, levels: &[String], folder: &mut Folder) {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if has_extension(&path) {
            folder.images += 1;
            *folder.formats.entry(extension).or_default() += 1;
            if folder.first.as_ref().is_none_or(|first| path < *first) {
                folder.first = Some(path);
            }
            return;
        }
        let is_table = matches!(extension.as_str(), "csv" | "tsv" | "jsonl" | "ndjson");
        if is_table && self.tables.len() < MOST_TABLES {
            let name = path.file_name().unwrap_or_default();
            let folders = levels.iter().collect::<PathBuf>();
            self.tables.push(folders.join(name));
        }
        self.packed
            .extend(path.file_name().and_then(|name| packed(&name.to_string_lossy(), &extension)));
        *self.others.entry(extension).or_default() += 1;
    }

    /// Images anywhere.
    pub(super) fn images(&self) -> usize {
        self.folders.iter().map(|folder| folder.images).sum()
    }

    /// The folders that contain images directly.
    pub(super) fn with_images(&self) -> impl Iterator<Item = &Folder> {
        self.folders.iter().filter(|folder| folder.images > 0)
    }
}

enum Kind {
    Folder,
    File,
    BrokenLink,
}

/// The kind of an entry; only links are resolved.
fn kind(path: &Path, file_type: FileType) -> Kind {
    if !file_type.is_symlink() {
        return if file_type.is_dir() { Kind::Folder } else { Kind::File };
    }
    match path.metadata() {
        Ok(target) if target.is_dir() => Kind::Folder,
        Ok(_) => Kind::File,
        Err(_) => Kind::BrokenLink,
    }
}

/// The remedy for a file that contains many images.
fn packed(name: &str, extension: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if lower.contains("-ubyte") {
        return Some("idx files, as MNIST has them: kind = \"idx\"");
    }
    if extension == "bin"
        && (lower.contains("batch") || ["train.bin", "test.bin"].contains(&&*lower))
    {
        return Some("CIFAR's binary files: kind = \"cifar-binary\"");
    }
    match extension {
        "mat" => Some("MATLAB files: kind = \"mat\""),
        "zip" | "tar" | "tgz" | "gz" | "7z" | "rar" => Some("archives: unpack them first"),
        "parquet" | "arrow" => Some(
            "Parquet or Arrow files: write the images out as files first, as in `dataset[i][\"image\"].save(…)`",
        ),
        "npz" | "npy" | "h5" | "hdf5" | "tfrecord" | "pkl" => {
            Some("arrays: write the images out as files first")
        }
        _ => None,
    }
}
