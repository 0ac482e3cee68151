//! Small data sets.

use std::fs;
use std::io::Write;
use std::path::Path;

use flora_data::{Dataset, Error, ValidationShare};
use serde::Deserialize;
use tempfile::TempDir;

/// Writes a 2 x 2 PNG of one grey, and its parent folders.
pub(crate) fn png(path: &Path, grey: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(2, 2, image::Luma([grey])).save(path).unwrap();
}

/// Vendors `alpha` (6 + 2 images of each class) and `beta` (3 + 1), classes `big_cat` and `dog`, with files that are
/// not images beside them.
pub(crate) fn vendors() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut grey = 0;
    for (vendor, train, test) in [("beta", 3, 1), ("alpha", 6, 2)] {
        for (split, count) in [("train", train), ("test", test)] {
            for class in ["dog", "big_cat"] {
                let folder = dir.path().join("images").join(vendor).join(split).join(class);
                for number in 0..count {
                    png(&folder.join(format!("{number}.png")), grey);
                    grey += 1;
                }
                fs::write(folder.join(".hidden.png"), "not an image").unwrap();
            }
        }
        fs::write(dir.path().join("images").join(vendor).join("LICENSE.txt"), "MIT").unwrap();
    }
    write_vendors(&dir, VENDORS);
    dir
}

pub(crate) const VENDORS: &str = r#"
name = "vendors"
title = "Two vendors"
template = "an emoji of a {}."
license = "MIT"
source = "made by a test"

[layout]
kind = "image-folder"
pattern = "images/{domain}/{split}/{class}"

[[classes]]
folder = "dog"
name = "dog"

[[classes]]
folder = "big_cat"
name = "lion or tiger"
"#;

pub(crate) fn write_vendors(dir: &TempDir, toml: &str) {
    fs::write(dir.path().join("dataset.toml"), toml).unwrap();
}

pub(crate) fn open(dir: &TempDir) -> Result<Dataset, Error> {
    Dataset::open(&dir.path().join("dataset.toml"), None)
}

pub(crate) fn open_error(dir: &TempDir) -> String {
    open(dir).unwrap_err().to_string()
}

/// Checks that a message contains all of these parts.
#[track_caller]
pub(crate) fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// An idx file with a correct header.
pub(crate) fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    for dim in dims {
        file.extend(dim.to_be_bytes());
    }
    file.extend(bytes);
    file
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The four files of an idx data set whose images are 1 x 2 pixels: the sample's number, low byte first.
pub(crate) fn write_idx(dir: &Path, train: &[u8], test: &[u8]) {
    for (prefix, labels) in [("train", train), ("t10k", test)] {
        let n = labels.len() as u32;
        let pixels: Vec<u8> = (0..n).flat_map(|i| [i as u8, (i >> 8) as u8]).collect();
        let file = |kind: &str| dir.join(format!("{prefix}-{kind}"));
        fs::write(file("images-idx3-ubyte.gz"), gzip(&idx(&[n, 1, 2], &pixels))).unwrap();
        fs::write(file("labels-idx1-ubyte.gz"), gzip(&idx(&[n], labels))).unwrap();
    }
}

pub(crate) fn idx_toml(classes: usize) -> String {
    let mut toml = r#"
name = "digits"
install = "apt-get install dataset-digits"

[layout]
kind = "idx"
train_images = "train-images-idx3-ubyte.gz"
train_labels = "train-labels-idx1-ubyte.gz"
test_images = "t10k-images-idx3-ubyte.gz"
test_labels = "t10k-labels-idx1-ubyte.gz"
"#
    .to_owned();
    for class in 0..classes {
        toml += &format!("\n[[classes]]\nname = \"class {class}\"\n");
    }
    toml
}

/// An idx data set with the given numbers of training and test images by class, labels interleaved.
pub(crate) fn labelled(train: &[usize], test: &[usize]) -> Dataset {
    let dir = tempfile::tempdir().unwrap();
    let interleave = |counts: &[usize]| {
        let most = counts.iter().max().copied().unwrap_or(0);
        let rounds = (0..most)
            .flat_map(|round| (0..counts.len()).filter(move |&class| round < counts[class]));
        rounds.map(|class| class as u8).collect::<Vec<u8>>()
    };
    write_idx(dir.path(), &interleave(train), &interleave(test));
    write_vendors(&dir, &idx_toml(train.len()));
    open(&dir).unwrap()
}

pub(crate) fn share(share: f64) -> ValidationShare {
    ValidationShare::try_from(share).unwrap()
}

/// The hold-out of scikit-learn's `train_test_split(stratify=...)` for classes of these sizes.
#[derive(Deserialize)]
pub(crate) struct SplitCase {
    pub(crate) share: f64,
    pub(crate) sizes: Vec<usize>,
    /// Images of each class, by draw.
    pub(crate) test: Vec<Vec<usize>>,
}

/// The cases written by `make_stratified.py`.
pub(crate) fn scikit_learn_splits() -> Vec<SplitCase> {
    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<SplitCase>,
    }
    let fixture = include_str!("../fixtures/stratified.json");
    serde_json::from_str::<Fixture>(fixture).unwrap().cases
}
