//! Whatever an idx file holds, it is read or refused, and compressed no otherwise than plain.
#![no_main]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use flora_data::{Dataset, Error};
use flora_fuzz::{check, idx, scratch, write};
use libfuzzer_sys::fuzz_target;

const DESCRIPTION: &str = r#"
name = "digits"
layout = { kind = "idx", train_images = "images", train_labels = "labels", test_images = "test-images", test_labels = "test-labels" }
classes = [{ name = "zero" }, { name = "one" }, { name = "two" }]
"#;

// The first byte tells whether the rest is the file of the images or that of the labels.
fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let folder = scratch();
    write(&folder.join("dataset.toml"), DESCRIPTION.as_bytes());
    for (images, labels) in [("images", "labels"), ("test-images", "test-labels")] {
        write(&folder.join(images), &idx(&[3, 1, 2], &[0, 1, 2, 3, 4, 5]));
        write(&folder.join(labels), &idx(&[3], &[0, 1, 2]));
    }
    let file = folder.join(if which % 2 == 0 { "images" } else { "labels" });

    let plain = open(&file, bytes);
    if let Ok(set) = &plain {
        check(set);
        for i in 0..set.len().min(64) {
            let image = set.image(i).expect("it is in memory");
            assert!(image.width() > 0 && image.height() > 0);
        }
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return; // It was compressed already.
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("writing to memory");
    let packed = open(&file, &packer.finish().expect("writing to memory"));
    let print =
        |set: Result<Dataset, Error>| set.ok().map(|set| set.fingerprint().expect("in memory"));
    assert_eq!(print(plain), print(packed));
});

fn open(file: &Path, bytes: &[u8]) -> Result<Dataset, Error> {
    write(file, bytes);
    Dataset::open(scratch(), None)
}
