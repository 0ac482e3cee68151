//! Layouts of images on disk, as in descriptions.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One of the kinds of `[layout]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Layout {
    ImageFolder(FolderLayout),
    Idx(IdxLayout),
    List(ListLayout),
    Csv(CsvLayout),
    JsonLines(JsonLinesLayout),
    Mat(MatLayout),
    CifarBinary(CifarLayout),
    BySplit(BySplitLayout),
}

impl Layout {
    /// The folder that all other paths are relative to, if the description names one.
    pub(super) fn root(&self) -> Option<&Path> {
        let root = match self {
            Self::ImageFolder(layout) => &layout.root,
            Self::Idx(layout) => &layout.root,
            Self::List(layout) => &layout.root,
            Self::Csv(layout) => &layout.root,
            Self::JsonLines(layout) => &layout.root,
            Self::Mat(layout) => &layout.root,
            Self::CifarBinary(layout) => &layout.root,
            Self::BySplit(layout) => &layout.root,
        };
        root.as_deref()
    }
}

/// Image files in folders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FolderLayout {
    pub(super) root: Option<PathBuf>,
    pub(super) pattern: String,
    pub(super) splits: Option<SplitFolders>,
    /// Class folders to skip.
    #[serde(default)]
    pub(super) ignore: Vec<String>,
}

/// Four idx files, as in MNIST.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdxLayout {
    root: Option<PathBuf>,
    pub(super) train_images: PathBuf,
    pub(super) train_labels: PathBuf,
    pub(super) test_images: PathBuf,
    pub(super) test_labels: PathBuf,
    #[serde(default)]
    pub(super) invert: bool,
    /// Whether pixels are stored column by column, as in EMNIST.
    #[serde(default)]
    pub(super) transpose: bool,
    #[serde(default)]
    pub(super) first_label: usize,
}

/// Image files listed in text files, one per line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListLayout {
    root: Option<PathBuf>,
    pub(super) train: Option<Names>,
    pub(super) test: Option<Names>,
    pub(super) files: Option<Names>,
    /// The column separator; white space if absent.
    pub(super) separator: Option<String>,
    pub(super) image: String,
    pub(super) label: String,
    pub(super) first_label: Option<usize>,
}

/// Image files listed in a table with a header, or pixels in such a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CsvLayout {
    root: Option<PathBuf>,
    pub(super) train: Option<Names>,
    pub(super) test: Option<Names>,
    pub(super) files: Option<Names>,
    pub(super) split: Option<SplitColumn>,
    #[serde(default = "comma")]
    pub(super) separator: char,
    pub(super) image: Option<String>,
    pub(super) pixels: Option<PixelColumn>,
    pub(super) label: String,
    pub(super) domain: Option<String>,
    pub(super) first_label: Option<usize>,
}

fn comma() -> char {
    ','
}

/// Image files named by JSON objects, one per line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonLinesLayout {
    root: Option<PathBuf>,
    pub(super) train: Option<Names>,
    pub(super) test: Option<Names>,
    pub(super) files: Option<Names>,
    pub(super) split: Option<SplitColumn>,
    pub(super) image: String,
    pub(super) label: String,
    pub(super) domain: Option<String>,
    pub(super) first_label: Option<usize>,
}

/// The column that distinguishes training and test images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitColumn {
    pub(super) column: String,
    pub(super) train: Names,
    pub(super) test: Names,
}

/// The column with grey pixels, row by row, as numbers separated by spaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PixelColumn {
    pub(super) column: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Image files listed in an array of a MATLAB file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatLayout {
    root: Option<PathBuf>,
    pub(super) train: Option<Names>,
    pub(super) test: Option<Names>,
    pub(super) files: Option<Names>,
    pub(super) variable: String,
    pub(super) split: Option<SplitVariables>,
    pub(super) image: String,
    pub(super) label: String,
    pub(super) first_label: Option<usize>,
}

/// The variables with the indices of the training and the test images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitVariables {
    pub(super) file: PathBuf,
    pub(super) train: Names,
    pub(super) test: Names,
}

/// The binary version of CIFAR.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CifarLayout {
    root: Option<PathBuf>,
    pub(super) train: Names,
    pub(super) test: Names,
    /// Label bytes before the pixels of an image.
    #[serde(default = "one")]
    pub(super) label_bytes: usize,
    /// The index of the label among them.
    #[serde(default)]
    pub(super) label_byte: usize,
    #[serde(default)]
    pub(super) first_label: usize,
}

fn one() -> usize {
    1
}

/// Training and test images in different layouts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BySplitLayout {
    root: Option<PathBuf>,
    pub(super) train: Box<Layout>,
    pub(super) test: Box<Layout>,
}

/// The folder names of each split.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitFolders {
    #[serde(default = "SplitFolders::train")]
    pub(super) train: Names,
    #[serde(default = "SplitFolders::test")]
    pub(super) test: Names,
}

impl SplitFolders {
    pub(super) fn train() -> Names {
        Names::One("train".to_owned())
    }

    fn test() -> Names {
        Names::One("test".to_owned())
    }
}

impl Default for SplitFolders {
    fn default() -> Self {
        Self { train: Self::train(), test: Self::test() }
    }
}

/// `"test"` or `["test", "val"]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}
