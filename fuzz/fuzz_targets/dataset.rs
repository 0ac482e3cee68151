//! Whatever a description of a data set says, the images below a folder are listed or it is refused.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use flora_data::Dataset;
use flora_fuzz::{check, idx, scratch, write};
use libfuzzer_sys::fuzz_target;

/// `cat` and `dog` by class, by split, and by domain and split; and an idx data set. Images are listed
/// and not decoded: theirs are empty.
static DATA: LazyLock<Box<Path>> = LazyLock::new(|| {
    let root = scratch().join("data");
    for class in ["cat", "dog"] {
        write(&root.join(format!("plain/{class}/0.png")), b"");
        for split in ["train", "test"] {
            write(&root.join(format!("split/{split}/{class}/0.png")), b"");
            for domain in ["a", "b"] {
                write(&root.join(format!("images/{domain}/{split}/{class}/0.png")), b"");
            }
        }
    }
    write(&root.join("images.idx"), &idx(&[2, 1, 2], &[0; 4]));
    write(&root.join("labels.idx"), &idx(&[2], &[0, 1]));
    root.into()
});

fuzz_target!(|bytes: &[u8]| {
    let file = scratch().join("dataset.toml");
    write(&file, bytes);
    // With a folder given, the description's own `root` is not looked up: it may be anywhere.
    let Ok(set) = Dataset::open(&file, Some(&DATA)) else { return };
    check(&set);
    assert!(!set.name().trim().is_empty() && set.template().as_str().contains("{}"));
    assert_eq!(set.fingerprint().expect("the files are there").len(), 64);
});
