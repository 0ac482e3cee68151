//! The TOML file that describes a data set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use flora_core::{files, shell};
use serde::Deserialize;

use super::Template;
use super::class_entry::ClassEntry;
use super::class_names::normalized;
use super::groups::Grouping;
use super::layout::{FolderLayout, Layout, Names, SplitFolders};
use super::pattern::Pattern;
use super::texts::TextsEntry;
use crate::Error;
use crate::discover::{Suggestion, suggestion};

/// The file's contents; see `datasets/` for examples.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    title: Option<String>,
    template: Option<String>,
    license: Option<String>,
    source: Option<String>,
    homepage: Option<String>,
    install: Option<String>,
    obtain: Option<String>,
    group: Option<Grouping>,
    layout: Layout,
    texts: Option<TextsEntry>,
    #[serde(default)]
    classes: Vec<ClassEntry>,
}

/// A description whose fields have been checked individually; checks against the data follow while reading it.
#[derive(Debug)]
pub(super) struct Description {
    /// The TOML file, or the image folder if there is none; named in errors.
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) license: String,
    pub(super) source: String,
    pub(super) homepage: Option<String>,
    pub(super) template: Template,
    pub(super) layout: Layout,
    pub(super) classes: Vec<ClassEntry>,
    /// With the resolved path of the file.
    pub(super) texts: Option<TextsEntry>,
    /// How images are grouped.
    pub(super) group: Option<Grouping>,
    /// How to get the images, as a clause: a command, or instructions if there is no command.
    pub(super) how: Option<String>,
    /// The remedy for missing parts.
    remedy: String,
    base: PathBuf,
}

impl Description {
    /// Reads a TOML file.
    pub(super) fn read(file: &Path) -> Result<Self, Error> {
        let text = files::read_text(file).map_err(Error::io("read the description", file))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| Error::Syntax {
            file: file.to_owned(),
            problem: flora_core::explain::toml(&error.to_string()),
            remedy: "correct that line (only the keys listed there are known)",
        })?;
        let field = |field: &str, problem: String, remedy: &str| Error::Field {
            file: file.to_owned(),
            field: field.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        };
        if raw.name.trim().is_empty() {
            let remedy = "give the data set a short name such as \"fashion-mnist\"";
            return Err(field("name", "it is empty".to_owned(), remedy));
        }
        let template = raw.template.unwrap_or_else(|| Template::PHOTO.to_owned());
        let template = Template::new(template)
            .map_err(|error| field("template", error.to_string(), "correct the template"))?;
        let mut names = HashMap::new();
        for (index, class) in raw.classes.iter().enumerate() {
            let at = format!("classes[{index}].name");
            if class.name.trim().is_empty() {
                let remedy = "write the words that stand for the class in a sentence";
                return Err(field(&at, "it is empty".to_owned(), remedy));
            }
            if let Some(first) = names.insert(normalized(&class.name), index) {
                let problem = format!(
                    "{:?} is the same to the model as {:?}, the name of `classes[{first}]`",
                    class.name, raw.classes[first].name
                );
                let remedy = "classes with the same name get the same prompt: rename one of them";
                return Err(field(&at, problem, remedy));
            }
        }
        let how = match (raw.install, raw.obtain) {
            (Some(_), Some(_)) => {
                let problem = "`install` is set, too".to_owned();
                return Err(field("obtain", problem, "keep the one that fetches the images"));
            }
            (Some(command), None) => Some(format!("run `{command}`")),
            (None, obtain) => obtain,
        };
        let get = match &how {
            Some(how) => how.clone(),
            None => format!("put the images of {:?} there", raw.name),
        };
        let remedy = format!("{get}, or set `layout.root` in {}", file.display());
        let unspecified = || "unspecified".to_owned();
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self {
            texts: raw.texts.map(|texts| TextsEntry { file: base.join(&texts.file), ..texts }),
            file: file.to_owned(),
            title: raw.title.unwrap_or_else(|| raw.name.clone()),
            name: raw.name,
            license: raw.license.unwrap_or_else(unspecified),
            source: raw.source.unwrap_or_else(unspecified),
            homepage: raw.homepage,
            template,
            layout: raw.layout,
            group: raw.group,
            classes: raw.classes,
            how,
            remedy,
            base,
        })
    }

    /// The description assumed for a folder without one: torchvision's `ImageFolder`, either `<class>/*` or
    /// `train/<class>/*` beside `test/<class>/*` (or `val`, `valid`, `validation`).
    pub(super) fn of_folder(folder: &Path) -> Result<Self, Error> {
        let absolute = folder.canonicalize().map_err(Error::io("read the folder", folder))?;
        let name = match absolute.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "images".to_owned(),
        };
        let test = ["test", "val", "valid", "validation"]
            .into_iter()
            .find(|name| folder.join(name).is_dir() && folder.join("train").is_dir());
        let layout = FolderLayout {
            root: None,
            pattern: match test {
                Some(_) => "{split}/{class}".to_owned(),
                None => "{class}".to_owned(),
            },
            splits: test.map(|test| SplitFolders {
                train: SplitFolders::train(),
                test: Names::One(test.to_owned()),
            }),
            ignore: Vec::new(),
        };
        Ok(Self {
            file: folder.to_owned(),
            title: name.clone(),
            name,
            license: "unspecified".to_owned(),
            source: folder.display().to_string(),
            homepage: None,
            template: Template::new(Template::PHOTO)?,
            layout: Layout::ImageFolder(layout),
            classes: Vec::new(),
            texts: None,
            group: None,
            how: None,
            remedy: format!(
                "make a sub-folder of images for each class (or train/<class> and test/<class>), or name a \
                 TOML file that describes the data set: `flora init {}` writes one",
                shell::quoted(folder)
            ),
            base: folder.to_owned(),
        })
    }

    /// Whether there is no TOML file.
    pub(super) fn is_plain(&self) -> bool {
        self.file == self.base
    }

    /// The folder in which the layout's files are looked up, whether it exists or not.
    pub(super) fn root(&self, root_override: Option<&Path>) -> PathBuf {
        let path = match (root_override, self.layout.root()) {
            (Some(path), _) => path.to_owned(),
            (None, Some(root)) => self.base.join(root),
            (None, None) => self.base.clone(),
        };
        // The parent of a bare file name is the empty path: the current folder.
        match path.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => path,
        }
    }

    /// The path of a folder of the layout, which must exist.
    pub(super) fn folder(&self, path: PathBuf) -> Result<PathBuf, Error> {
        if path.is_dir() { Ok(path) } else { Err(self.missing("image folder", path)) }
    }

    /// The path of a file of the layout, which must exist.
    pub(super) fn find(&self, what: &'static str, path: PathBuf) -> Result<PathBuf, Error> {
        if path.is_file() { Ok(path) } else { Err(self.missing(what, path)) }
    }

    /// The remedy if no images match `pattern` below `root`: a pattern that fits the folders.
    pub(super) fn where_images_are(&self, root: &Path, pattern: &Pattern) -> Option<String> {
        let Suggestion { place, pattern: fitting } = suggestion(root)?;
        if fitting == pattern.to_string() {
            return None;
        }
        let folder = shell::quoted(&self.file);
        Some(match self.is_plain() {
            true => format!(
                "{place}: `flora init {folder}` writes a description with pattern = \"{fitting}\""
            ),
            false => format!("{place}: layout.pattern = \"{fitting}\" would fit"),
        })
    }

    /// The remedy for missing parts.
    pub(super) fn remedy(&self) -> &str {
        &self.remedy
    }

    /// The error for a missing file or folder of the data set, with its remedy.
    pub(super) fn missing(&self, what: &'static str, path: PathBuf) -> Error {
        Error::Missing { what, path, remedy: self.remedy.clone() }
    }

    /// The error for an unusable value of a key.
    pub(super) fn field(
        &self,
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        Error::Field {
            file: self.file.clone(),
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// The error for classes of the description that differ from those of the data.
    pub(super) fn class_count(&self, problem: String, remedy: impl Into<String>) -> Error {
        Error::ClassCount { file: self.file.clone(), problem, remedy: remedy.into() }
    }
}
