//! Image files in folders, with and without a description.

use std::fs;

use flora_data::{Dataset, Error, Split, read_image};
use image::GenericImageView;

use crate::sets::{VENDORS, assert_says, open, open_error, png, vendors, write_vendors};

#[test]
fn a_description_is_read_as_it_says() {
    let dir = vendors();
    let set = open(&dir).unwrap();
    assert_eq!((set.name(), set.title()), ("vendors", "Two vendors"));
    assert_eq!((set.license(), set.source()), ("MIT", "made by a test"));
    assert_eq!(set.classes(), ["dog", "lion or tiger"]);
    assert_eq!(set.domains(), ["alpha", "beta"]);
    assert_eq!(set.template().fill(&set.classes()[0]), "an emoji of a dog.");
    assert_eq!((set.len(), set.indices(Split::Train).len()), (24, 18));
    assert!(set.has_official_split());
    for i in 0..set.len() {
        let path = set.describe(i);
        let folder = ["/dog/", "/big_cat/"][set.label(i)];
        let split = ["/train/", "/test/"][usize::from(set.split(i) == Split::Test)];
        let vendor = &set.domains()[set.domain(i).unwrap()];
        assert_says(&path, &[folder, split, vendor]);
        assert_eq!(set.image(i).unwrap().dimensions(), (2, 2));
    }
    let paths: Vec<String> = (0..set.len()).map(|i| set.describe(i)).collect();
    assert!(paths.is_sorted(), "the order must not depend on the disk");
}

#[test]
fn a_folder_finds_its_description() {
    let dir = vendors();
    assert_eq!(Dataset::open(dir.path(), None).unwrap().name(), "vendors");
    let named = dir.path().join("pets");
    png(&named.join("cat/1.png"), 0);
    fs::write(
        named.join("pets.toml"),
        "name = 'my pets'\nlayout = { kind = 'image-folder', pattern = '{class}' }",
    )
    .unwrap();
    assert_eq!(Dataset::open(&named, None).unwrap().name(), "my pets");
}

#[test]
fn images_may_lie_elsewhere() {
    let (dir, other) = (vendors(), vendors());
    fs::remove_dir_all(dir.path().join("images")).unwrap();
    let file = dir.path().join("dataset.toml");
    let set = Dataset::open(&file, Some(other.path())).unwrap();
    assert!(set.describe(0).starts_with(other.path().to_str().unwrap()));

    let root = other.path().to_str().unwrap();
    let toml = VENDORS.replace("pattern", &format!("root = {root:?}\npattern"));
    write_vendors(&dir, &toml);
    assert_eq!(open(&dir).unwrap().len(), 24);
}

#[test]
fn a_plain_folder_needs_no_description() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pets");
    for (number, name) in
        ["tabby_cat/a.png", "tabby_cat/b.PNG", "pit-bull/c.png"].iter().enumerate()
    {
        png(&root.join(name), number as u8);
    }
    fs::write(root.join("README.md"), "about").unwrap();
    let set = Dataset::open(&root, None).unwrap();
    assert_eq!(set.name(), "pets");
    assert_eq!(set.classes(), ["pit bull", "tabby cat"]);
    assert_eq!(set.template().fill("tabby cat"), "a photo of a tabby cat.");
    assert!(!set.has_official_split());
    assert_eq!(set.indices(Split::Test).len(), 1, "a fifth, rounded up");
}

#[test]
fn a_plain_folder_may_have_a_split() {
    for test in ["test", "val"] {
        let dir = tempfile::tempdir().unwrap();
        png(&dir.path().join("train/cat/1.png"), 1);
        png(&dir.path().join("train/dog/1.png"), 2);
        png(&dir.path().join(test).join("cat/1.png"), 3);
        let set = Dataset::open(dir.path(), None).unwrap();
        assert_eq!(set.classes(), ["cat", "dog"]);
        assert_eq!(set.indices(Split::Train).len(), 2);
        assert_eq!(set.indices(Split::Test).len(), 1);
    }
}

#[test]
fn split_folders_may_have_any_name() {
    let dir = vendors();
    let alpha = dir.path().join("images/alpha");
    fs::rename(alpha.join("test"), alpha.join("val")).unwrap();
    png(&alpha.join("unlabelled/x.png"), 0);
    write_vendors(
        &dir,
        &VENDORS.replace(
            "[[classes]]\nfolder = \"dog\"",
            "[layout.splits]\ntest = [\"test\", \"val\"]\n\n[[classes]]\nfolder = \"dog\"",
        ),
    );
    let set = open(&dir).unwrap();
    assert_eq!((set.len(), set.indices(Split::Test).len()), (24, 6));
    let passed = set.passed_over();
    assert_eq!(passed.to_string(), "2 of descriptions and notes, 1 of other splits");
    assert_eq!(passed.warning(), None);
}

#[test]
fn a_corrupt_image_is_named() {
    let dir = vendors();
    let path = dir.path().join("images/alpha/train/dog/3.png");
    let whole = fs::read(&path).unwrap();
    // The beginning of a JPEG: its decoder's message has more than one line.
    for bytes in [&b"not an image"[..], &whole[..whole.len() / 2], &[0xff, 0xd8, 0xff], b""] {
        fs::write(&path, bytes).unwrap();
        let set = open(&dir).unwrap();
        let bad: Vec<Error> = (0..set.len()).filter_map(|i| set.image(i).err()).collect();
        assert_eq!(bad.len(), 1);
        let message = bad[0].to_string();
        assert_says(&message, &["alpha/train/dog/3.png", "replace the file"]);
        assert!(!message.contains(['\n', '\r']), "{message}");
        assert_eq!(message.contains("it is empty"), bytes.is_empty(), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), dir.path()] {
        let message = read_image(path).unwrap_err().to_string();
        assert_says(&message, &[path.to_str().unwrap(), "not a file"]);
    }
    let message = read_image(&dir.path().join("nowhere.png")).unwrap_err().to_string();
    assert_says(&message, &["cannot read", "nowhere.png"]);
}

#[test]
fn a_missing_folder_is_named() {
    let dir = vendors();
    fs::rename(dir.path().join("images"), dir.path().join("pictures")).unwrap();
    assert_says(&open_error(&dir), &["image folder", "images", "layout.root", "dataset.toml"]);

    let nowhere = dir.path().join("nowhere");
    let file = dir.path().join("dataset.toml");
    let error = Dataset::open(&file, Some(&nowhere)).unwrap_err();
    assert_says(&error.to_string(), &["image folder", "nowhere"]);
    let error = Dataset::open(&nowhere, None).unwrap_err();
    assert_says(&error.to_string(), &["no data set", "nowhere", "TOML"]);
}

#[test]
fn a_wrong_class_count_says_which_class() {
    let dir = vendors();
    png(&dir.path().join("images/beta/train/fish/1.png"), 0);
    assert_says(
        &open_error(&dir),
        &["wrong class count", "lists 2 classes", "beta/train/fish", "folder = \"fish\""],
    );

    let dir = vendors();
    let fish = "[[classes]]\nfolder = \"fish\"\nname = \"fish\"\n";
    write_vendors(&dir, &format!("{VENDORS}{fish}"));
    assert_says(&open_error(&dir), &["wrong class count", "3 classes", "\"fish\" holds no image"]);

    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("cat/1.png"), 0);
    fs::create_dir(dir.path().join("dog")).unwrap();
    let message = Dataset::open(dir.path(), None).unwrap_err().to_string();
    assert_says(&message, &["wrong class count", "\"dog\" holds no image"]);

    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("1.png"), 0);
    let message = Dataset::open(dir.path(), None).unwrap_err().to_string();
    assert_says(
        &message,
        &["no image of any class", "a sub-folder of images for each class", "TOML"],
    );
    assert!(!message.contains("layout.root"), "a folder has no such key: {message}");
}

#[test]
fn a_bad_description_names_file_and_field() {
    let dir = vendors();
    for (from, to, parts) in [
        ("title", "titel", &["titel", "line 3", "unknown field"][..]),
        ("pattern =", "shuffle = true\npattern =", &["shuffle", "unknown field"]),
        ("name = \"dog\"", "name = \"dog\"\nlabel = 1", &["label", "unknown field"]),
        ("image-folder", "folders", &["folders", "image-folder"]),
        ("\"vendors\"", "3", &["line 2", "expected text, found 3"]),
        ("\"vendors\"", "\" \"", &["`name`", "empty"]),
        ("of a {}.", "of a thing.", &["`template`", "of a thing.", "{}"]),
        ("{class}", "{classes}", &["`layout.pattern`", "{classes}"]),
        ("/{class}", "", &["`layout.pattern`", "{class}"]),
        ("lion or tiger", "dog", &["`classes[1].name`", "\"dog\"", "rename"]),
        ("lion or tiger", "", &["`classes[1].name`", "empty"]),
        ("folder = \"big_cat\"", "folder = \"dog\"", &["`classes[1].folder`", "own folder"]),
        ("folder = \"big_cat\"", "", &["`classes[1].folder`", "lion or tiger"]),
        (
            "[[classes]]\nfolder = \"dog\"",
            "[layout.splits]\ntest = \"tset\"\n[[classes]]\nfolder = \"dog\"",
            &["`layout.splits.test`", "\"test\"", "\"train\""],
        ),
        (
            "[[classes]]\nfolder = \"dog\"",
            "[layout.splits]\ntest = \"train\"\n[[classes]]\nfolder = \"dog\"",
            &["`layout.splits`", "twice"],
        ),
        (
            "[[classes]]\nfolder = \"dog\"",
            "[layout.splits]\ntest = 3\n[[classes]]\nfolder = \"dog\"",
            &["a list of names"],
        ),
    ] {
        assert!(VENDORS.contains(from), "{from}");
        write_vendors(&dir, &VENDORS.replacen(from, to, 1));
        let message = open_error(&dir);
        assert_says(&message, parts);
        assert_says(&message, &["dataset.toml"]);
    }
}

/// Images below a class folder are read as in torchvision's `ImageFolder`: after those in it.
#[test]
fn images_below_class_folders_belong_to_the_class() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["cat/z.png", "cat/siam/2.png", "cat/a.png", "dog/1.png"] {
        png(&dir.path().join(name), 0);
    }
    for name in ["cat/x.avif", "cat/siam/notes.txt", "cat/README", "stray.png", "labels.csv"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let set = Dataset::open(dir.path(), None).unwrap();
    let files: Vec<_> = (0..set.len())
        .map(|i| set.file(i).unwrap().strip_prefix(dir.path()).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(files, ["cat/a.png", "cat/z.png", "cat/siam/2.png", "dog/1.png"]);
    assert_eq!((0..4).map(|i| set.label(i)).collect::<Vec<_>>(), [0, 0, 0, 1]);
    let passed = set.passed_over();
    assert_eq!(passed.count(), 5);
    assert_says(
        &passed.warning().unwrap(),
        &["3 files passed over", "1 .avif", "1 .txt", "1 outside the class folders", "convert"],
    );
}

/// Reading sites or splits as classes would be a silent error.
#[test]
fn folders_that_come_again_below_each_class_are_asked_about() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["north/cat/1.png", "north/dog/1.png", "south/dog/1.png"] {
        png(&dir.path().join(name), 0);
    }
    let error = Dataset::open(dir.path(), None).unwrap_err().to_string();
    assert_says(&error, &["north/dog, south/dog", "pattern", "{domain}/{class}"]);
    for (pattern, classes) in
        [("{domain}/{class}", ["cat", "dog"]), ("{class}", ["north", "south"])]
    {
        let toml =
            format!("name = 'x'\nlayout = {{ kind = 'image-folder', pattern = '{pattern}' }}\n");
        fs::write(dir.path().join("dataset.toml"), toml).unwrap();
        assert_eq!(Dataset::open(dir.path(), None).unwrap().classes(), classes);
    }
    fs::remove_file(dir.path().join("dataset.toml")).unwrap();
    // With an image of its own, or other names, a folder is a class.
    fs::remove_dir_all(dir.path().join("north/dog")).unwrap();
    assert_eq!(Dataset::open(dir.path(), None).unwrap().classes(), ["north", "south"]);
}

#[test]
fn classes_that_are_the_same_to_a_model_are_refused() {
    for (one, other) in [("hot_dog", "hot-dog"), ("Cat", "cat"), ("a__b", "a_b"), ("-", "x")] {
        let dir = tempfile::tempdir().unwrap();
        png(&dir.path().join(one).join("1.png"), 0);
        png(&dir.path().join(other).join("1.png"), 0);
        let error = Dataset::open(dir.path(), None).unwrap_err().to_string();
        assert_says(&error, &["`classes`", &format!("{one:?}"), "description"]);
        let toml = format!(
            "name = 'x'\nclasses = [{{ name = 'one', folder = '{one}' }}, {{ name = 'two', folder = \
             '{other}' }}]\nlayout = {{ kind = 'image-folder', pattern = '{{class}}' }}\n"
        );
        fs::write(dir.path().join("dataset.toml"), &toml).unwrap();
        assert_eq!(Dataset::open(dir.path(), None).unwrap().classes(), ["one", "two"]);
        fs::write(dir.path().join("dataset.toml"), toml.replace("'two'", "' ONE'")).unwrap();
        let error = Dataset::open(dir.path(), None).unwrap_err().to_string();
        assert_says(&error, &["classes[1].name", "same prompt", "classes[0]"]);
    }
}
