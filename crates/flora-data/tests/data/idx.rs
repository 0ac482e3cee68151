//! The idx format.

use std::fs;
use std::path::Path;

use flora_data::{Dataset, Split};
use tempfile::TempDir;

use crate::sets::{
    assert_says, gzip, idx, idx_toml, labelled, open, open_error, write_idx, write_vendors,
};

fn digits() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_idx(dir.path(), &[0, 1, 2, 1], &[2, 0]);
    write_vendors(&dir, &idx_toml(3));
    dir
}

#[test]
fn images_and_labels_are_read() {
    let set = open(&digits()).unwrap();
    assert_eq!(set.len(), 6);
    assert_eq!(set.indices(Split::Test), [4, 5]);
    let labels: Vec<usize> = (0..6).map(|i| set.label(i)).collect();
    assert_eq!(labels, [0, 1, 2, 1, 2, 0]);
    assert_eq!(set.domain(0), None);
    let image = set.image(3).unwrap();
    assert_eq!((image.width(), image.height()), (2, 1));
    assert_eq!(image.as_bytes(), [3, 0]);
    assert_eq!(set.describe(3), "train-images-idx3-ubyte.gz[3]");
    assert_eq!(set.describe(5), "t10k-images-idx3-ubyte.gz[1]");
    assert_eq!(set.image(5).unwrap().as_bytes(), [1, 0]);
}

#[test]
fn a_negative_can_be_asked_for() {
    let dir = digits();
    let set = open(&dir).unwrap();
    write_vendors(&dir, &idx_toml(3).replace("test_images", "invert = true\ntest_images"));
    let negative = open(&dir).unwrap();
    assert_eq!(negative.image(3).unwrap().as_bytes(), [252, 255]);
    assert_ne!(set.fingerprint().unwrap(), negative.fingerprint().unwrap());
}

#[test]
fn files_may_be_compressed_or_not() {
    let dir = digits();
    let packed = dir.path().join("train-images-idx3-ubyte.gz");
    fs::remove_file(&packed).unwrap();
    let raw = idx(&[4, 1, 2], &[0, 0, 1, 0, 2, 0, 3, 0]);
    fs::write(packed.with_extension(""), &raw).unwrap();
    assert_eq!(open(&dir).unwrap().image(3).unwrap().as_bytes(), [3, 0]);

    let dir = digits();
    write_vendors(&dir, &idx_toml(3).replace(".gz", ""));
    assert_eq!(open(&dir).unwrap().len(), 6);
}

#[test]
fn missing_files_say_how_to_get_them() {
    let dir = digits();
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let install = "run `apt-get install dataset-digits`";
    assert_says(&open_error(&dir), &["t10k-labels-idx1-ubyte.gz", install]);
    let file = dir.path().join("dataset.toml");
    let error = Dataset::open(&file, Some(Path::new("no/such/folder"))).unwrap_err();
    assert_says(&error.to_string(), &["no/such/folder", install, "layout.root"]);
}

#[test]
fn damaged_files_are_refused() {
    let pixels = [0, 0, 1, 0, 2, 0, 3, 0];
    let whole = idx(&[4, 1, 2], &pixels);
    let packed = gzip(&whole);
    let mut broken = packed.clone();
    let checksum = broken.len() - 8;
    broken[checksum] ^= 1;
    for (bytes, parts) in [
        (whole[..whole.len() - 1].to_vec(), &["announce 8 bytes", "there are 7"][..]),
        (idx(&[4, 1, 2], &[0; 9]), &["announce 8 bytes", "more"]),
        (whole[..7].to_vec(), &["cut short"]),
        (Vec::new(), &["cut short"]),
        (packed[..packed.len() - 9].to_vec(), &["damaged or cut short"]),
        (broken, &["damaged or cut short"]),
        (idx(&[u32::MAX, 1, 2], &pixels), &["announce", "there are 8"]),
        (idx(&[u32::MAX; 3], &pixels), &["cannot be right"]),
        (idx(&[4, 0, 2], &[]), &["empty"]),
        (idx(&[8], &pixels), &["starts with", "mixed up"]),
        (b"\x89PNG....".to_vec(), &["starts with"]),
    ] {
        let dir = digits();
        fs::write(dir.path().join("train-images-idx3-ubyte.gz"), bytes).unwrap();
        let message = open_error(&dir);
        assert_says(&message, parts);
        assert_says(&message, &["train-images-idx3-ubyte.gz", "fetch the file again"]);
    }
}

#[test]
fn labels_must_belong_to_images_and_classes() {
    let dir = digits();
    let labels = dir.path().join("train-labels-idx1-ubyte.gz");
    fs::write(&labels, gzip(&idx(&[3], &[0, 1, 2]))).unwrap();
    assert_says(&open_error(&dir), &["train-labels", "3 labels", "4 images"]);

    fs::write(&labels, gzip(&idx(&[4], &[0, 1, 2, 9]))).unwrap();
    assert_says(
        &open_error(&dir),
        &["wrong class count", "lists 3", "item 3", "label 9", "list 10 classes"],
    );

    let dir = digits();
    write_vendors(&dir, &idx_toml(4));
    assert_says(&open_error(&dir), &["wrong class count", "label 3", "class 3"]);

    write_vendors(&dir, &idx_toml(0));
    assert_says(&open_error(&dir), &["dataset.toml", "`classes`", "name"]);

    write_vendors(&dir, &idx_toml(3).replace("name = \"class 1\"", "name = \"b\"\nfolder = \"b\""));
    assert_says(&open_error(&dir), &["`classes[1].folder`"]);
}

#[test]
fn labels_end_at_255() {
    let dir = tempfile::tempdir().unwrap();
    let labels: Vec<u8> = (0..=255).collect();
    write_idx(dir.path(), &labels, &labels);
    write_vendors(&dir, &idx_toml(256));
    assert_eq!(open(&dir).unwrap().classes().len(), 256);
    let no_byte =
        ["wrong class count", "no image has label 256", "largest label of an idx file is 255"];
    write_vendors(&dir, &idx_toml(257));
    assert_says(&open_error(&dir), &no_byte);

    write_idx(dir.path(), &labels[250..], &labels[250..]);
    let beginning = |first: &str, classes: usize| {
        let layout = format!("[layout]\nfirst_label = {first}\n");
        write_vendors(&dir, &idx_toml(classes).replace("[layout]\n", &layout));
    };
    beginning("250", 6);
    assert_eq!(open(&dir).unwrap().label(5), 5);
    beginning("250", 10);
    assert_says(&open_error(&dir), &no_byte);
    for first in ["256", "9223372036854775807"] {
        beginning(first, 6);
        assert_says(&open_error(&dir), &["item 0", "label 250", "set `layout.first_label = 250`"]);
    }
}

#[test]
fn the_shipped_description_fits_the_format() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/fashion-mnist.toml");
    let dir = tempfile::tempdir().unwrap();
    let labels: Vec<u8> = (0..10).collect();
    write_idx(dir.path(), &labels, &labels);
    let set = Dataset::open(&shipped, Some(dir.path())).unwrap();
    assert_eq!(set.classes().len(), 10);
    assert_eq!(set.template().fill(&set.classes()[9]), "a photo of a ankle boot.");
    assert_eq!(set.license(), "MIT");
}

#[test]
fn labels_are_interleaved_by_the_helper() {
    let set = labelled(&[2, 1], &[1, 1]);
    let labels: Vec<usize> = (0..set.len()).map(|i| set.label(i)).collect();
    assert_eq!(labels, [0, 1, 0, 0, 1]);
}

/// EMNIST Letters: labels from 1, and transposed images.
#[test]
fn labels_may_begin_at_one_and_images_be_transposed() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(dir.path(), &[1, 2, 3, 1], &[2, 3]);
    write_vendors(&dir, &idx_toml(3));
    assert_says(&open_error(&dir), &["lists 3", "label 3", "set `layout.first_label = 1`"]);
    write_vendors(&dir, &idx_toml(4));
    assert_says(&open_error(&dir), &["lists 4", "label 0", "`layout.first_label = 1`"]);
    let from_one = idx_toml(3).replace("test_images", "first_label = 1\ntest_images");
    write_vendors(&dir, &from_one);
    let set = open(&dir).unwrap();
    let labels: Vec<usize> = (0..6).map(|i| set.label(i)).collect();
    assert_eq!(labels, [0, 1, 2, 0, 1, 2]);

    // Two images of 2 rows and 3 columns.
    let bytes: Vec<u8> = (1..=12).collect();
    for (name, count) in [("train", 2), ("t10k", 2)] {
        let images = gzip(&idx(&[count, 2, 3], &bytes));
        fs::write(dir.path().join(format!("{name}-images-idx3-ubyte.gz")), images).unwrap();
        let labels = gzip(&idx(&[count], &[1, 2]));
        fs::write(dir.path().join(format!("{name}-labels-idx1-ubyte.gz")), labels).unwrap();
    }
    let two = idx_toml(2).replace("test_images", "first_label = 1\ntest_images");
    write_vendors(&dir, &two);
    let plain = open(&dir).unwrap();
    assert_eq!((plain.image(1).unwrap().width(), plain.image(1).unwrap().height()), (3, 2));
    write_vendors(&dir, &two.replace("first_label", "transpose = true\nfirst_label"));
    let set = open(&dir).unwrap();
    let image = set.image(1).unwrap();
    assert_eq!((image.width(), image.height()), (2, 3));
    // numpy.arange(7, 13).reshape(2, 3).T
    assert_eq!(image.as_bytes(), [7, 10, 8, 11, 9, 12]);
    assert_ne!(set.fingerprint().unwrap(), plain.fingerprint().unwrap());
}
