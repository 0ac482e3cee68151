//! Images named by lists, tables and MATLAB files, and invalid entries.

use std::fs;
use std::path::Path;

use flora_data::{Split, inspect};
use tempfile::TempDir;

use crate::sets::{assert_says, open, open_error, png, write_vendors};

/// A data set of `a.png`, `b.png` and `c.png`, with further files and a description.
fn set(layout: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (grey, name) in ["a", "b", "c"].into_iter().enumerate() {
        png(&dir.path().join(format!("images/{name}.png")), grey as u8);
    }
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    write_vendors(&dir, layout);
    dir
}

const LIST: &str = r#"
name = "listed"
install = "fetch-it"
classes = ["cat", { name = "hot dog", key = "dog" }]
[layout]
kind = "list"
train = "train.txt"
test = "test.txt"
image = "images/{1}.png"
label = "{2}"
"#;

fn listed(train: &str, test: &str) -> TempDir {
    set(LIST, &[("train.txt", train), ("test.txt", test)])
}

#[test]
fn a_list_names_images_and_classes() {
    let dir = listed("\u{feff}b dog\r\n\r\n a  cat \r\n", "c\tdog");
    let set = open(&dir).unwrap();
    assert_eq!(set.classes(), ["cat", "hot dog"]);
    let labels: Vec<_> = (0..3).map(|i| (set.label(i), set.split(i))).collect();
    assert_eq!(labels, [(1, Split::Train), (0, Split::Train), (1, Split::Test)]);
    assert_eq!(set.image(0).unwrap().into_luma8().get_pixel(0, 0).0, [1]);
    assert_eq!(set.file(2).unwrap().file_stem().unwrap(), "c");
    assert!(set.has_official_split());
}

#[test]
fn what_is_wrong_with_a_list_is_said_with_its_line() {
    for (train, test, parts) in [
        ("a cat\nz dog", "c dog", &["train.txt, line 2", "no image at", "z.png", "fetch-it"][..]),
        ("a cat\nb bird", "c dog", &["train.txt, line 2", "\"bird\"", "not among the 2"]),
        ("a cat\nb", "c dog", &["train.txt, line 2", "no column 2, only 1"]),
        ("a cat\n\nb dog\na dog", "c dog", &["line 4", "listed before", "line 1", "train.txt"]),
        ("a cat\nb dog", "a dog", &["test.txt, line 1", "listed before", "train.txt"]),
        ("a cat\nb dog\n../a dog", "c dog", &["line 3", "leads out of the data set"]),
        ("a cat\nb cat", "c cat", &["wrong class count", "hot dog"]),
        ("a cat\nb dog", "", &["`layout`", "no image is for testing"]),
        ("", "a cat\nb dog", &["`layout`", "no image is for training"]),
    ] {
        assert_says(&open_error(&listed(train, test)), parts);
    }
    let dir = listed("a cat\nb dog", "c dog");
    fs::remove_file(dir.path().join("test.txt")).unwrap();
    assert_says(&open_error(&dir), &["no list of images", "test.txt", "run `fetch-it`"]);
}

#[test]
fn a_list_is_described_rightly_or_refused() {
    for (from, to, parts) in [
        ("{2}", "{0}", &["`layout.label`", "{0}"][..]),
        ("{1}.png", "{1.png", &["`layout.image`", "braces"]),
        ("train = \"train.txt\"", "", &["`layout.files`", "either"]),
        ("train = \"train.txt\"", "files = \"train.txt\"", &["`layout.files`"]),
        ("{2}\"", "{2}\"\nseparator = \"\"", &["`layout.separator`", "empty"]),
        ("{2}\"", "{2}\"\nfirst_label = 1", &["`classes[1].key`", "numbers"]),
        ("{2}\"", "{2}\"\nfirstlabel = 1", &["firstlabel"]),
        ("key = \"dog\"", "key = \"cat\"", &["`classes[1].key`", "earlier class"]),
        ("key = \"dog\"", "folder = \"dog\", key = \"dog\"", &["duplicate"]),
        ("key = \"dog\"", "keys = \"dog\"", &["keys"]),
        ("install", "obtain = \"ask\"\ninstall", &["`obtain`", "`install`"]),
    ] {
        let dir = listed("a cat\nb dog", "c dog");
        assert!(LIST.contains(from), "{from}");
        write_vendors(&dir, &LIST.replace(from, to));
        assert_says(&open_error(&dir), parts);
    }
}

#[test]
fn numbers_begin_where_the_description_says() {
    let numbered = |first: usize| {
        LIST.replace(", { name = \"hot dog\", key = \"dog\" }", ", \"dog\"")
            .replace("\"{2}\"", &format!("\"{{2}}\"\nfirst_label = {first}"))
    };
    let dir = listed("a 1\nb 2", "c 2");
    write_vendors(&dir, &numbered(1));
    let found = open(&dir).unwrap();
    assert_eq!((found.label(0), found.label(1)), (0, 1));
    write_vendors(&dir, &numbered(0));
    assert_says(&open_error(&dir), &["train.txt, line 2", "\"2\" is not a number from 0 to 1"]);
    let dir = listed("a 0\nb 2", "c 2");
    write_vendors(&dir, &numbered(1));
    assert_says(&open_error(&dir), &["train.txt, line 1", "from 1 to 2"]);
}

const TABLE: &str = r#"
name = "table"
layout = { kind = "csv", files = "labels.csv", image = "images/{file}", label = "{label}" }
"#;

#[test]
fn a_plain_table_needs_no_classes() {
    let labels = "file,label\nb.png,hot_dog\n\"a.png\",\"cat, or tiger\"\nc.png,hot_dog\n";
    let found = open(&set(TABLE, &[("labels.csv", labels)])).unwrap();
    assert_eq!(found.classes(), ["cat, or tiger", "hot dog"]);
    let labels: Vec<_> = (0..3).map(|i| found.label(i)).collect();
    assert_eq!(labels, [1, 0, 1]);
    assert!(!found.has_official_split());
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_line() {
    for (labels, parts) in [
        ("file,label\na.png,cat\nz.png,cat\n", &["labels.csv, line 3", "no image at"][..]),
        ("file,label\na.png,cat\na.png,dog\n", &["labels.csv, line 3", "listed before", "line 2"]),
        ("file,label\na.png,\n", &["labels.csv, line 2", "\"label\" is empty"]),
        ("file,label\na.png,cat,x\n", &["labels.csv", "line: 2"]),
        ("path,label\na.png,cat\n", &["`layout.image`", "no column \"file\"", "\"path\""]),
        ("file,label\n", &["no image"]),
    ] {
        assert_says(&open_error(&set(TABLE, &[("labels.csv", labels)])), parts);
    }
}

const FACES: &str = r#"
name = "faces"
classes = ["angry", "happy"]
[layout]
kind = "csv"
files = "faces.csv"
label = "{emotion}"
first_label = 0
pixels = { column = "pixels", width = 2, height = 1 }
split = { column = "Usage", train = "Training", test = "Test" }
"#;

#[test]
fn a_table_may_hold_pixels_and_the_split() {
    let header = "emotion, Usage, pixels\n";
    let rows = "0,Training,1 2\n,Unlabelled,9 9\n1,Training,3 255\n1,Test,5 6\n";
    let found = open(&set(FACES, &[("faces.csv", &format!("{header}{rows}"))])).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found.passed_over().to_string(), "1 of other splits");
    assert_eq!(found.image(1).unwrap().into_luma8().as_raw(), &[3, 255]);
    assert_eq!(found.describe(2), "faces.csv, line 5");
    assert_eq!((found.split(1), found.split(2)), (Split::Train, Split::Test));
    let print = |rows: &str, toml: &str| {
        let dir = set(toml, &[("faces.csv", &format!("{header}{rows}"))]);
        open(&dir).unwrap().fingerprint().unwrap()
    };
    assert_eq!(print(rows, FACES), found.fingerprint().unwrap());
    assert_ne!(print(&rows.replace("3 255", "3 254"), FACES), print(rows, FACES));
    let upright = FACES.replace("width = 2, height = 1", "width = 1, height = 2");
    assert_ne!(print(rows, &upright), print(rows, FACES));

    for (from, to, parts) in [
        ("1 2", "1 2 3", &["faces.csv, line 2", "3 pixels, not 2 x 1"][..]),
        ("1 2", "1", &["faces.csv, line 2", "1 pixels"]),
        ("1 2", "1 256", &["faces.csv, line 2", "\"256\" is not 0 to 255"]),
        ("1,Training", "2,Training", &["faces.csv, line 4", "from 0 to 1"]),
        ("1,Training", "-1,Training", &["faces.csv, line 4"]),
        ("Test", "Tset", &["no image is for testing"]),
        ("pixels", "pixel", &["`layout.pixels.column`", "\"pixel\""]),
        ("Usage", "usage", &["`layout.split.column`", "\"usage\""]),
    ] {
        let table = format!("{header}{rows}");
        assert!(table.contains(from), "{from}");
        let table = table.replace(from, to);
        assert_says(&open_error(&set(FACES, &[("faces.csv", &table)])), parts);
    }
    for (from, to, parts) in [
        ("width = 2", "width = 0", &["`layout.pixels`", "0 x 1"][..]),
        ("\nlabel =", "\nimage = \"{file}\"\nlabel =", &["`layout.image`", "either"]),
        ("train = \"Training\"", "train = \"Test\"", &["`layout.split`", "twice"]),
        ("files = \"faces.csv\"", "train = \"faces.csv\"\ntest = \"x\"", &["`layout.split`"]),
        ("\nlabel =", "\nseparator = \"\u{e9}\"\nlabel =", &["`layout.separator`"]),
    ] {
        assert!(FACES.contains(from), "{from}");
        let dir = set(&FACES.replace(from, to), &[("faces.csv", header)]);
        assert_says(&open_error(&dir), parts);
    }
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let layout = r#"
name = "flowers"
classes = ["x", "y"]
[layout]
kind = "mat"
files = "imagelabels.mat"
variable = "labels"
image = "images/{number}.png"
label = "{value}"
first_label = 1
split = { file = "setid.mat", train = "trnid", test = "tstid" }
"#;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layouts");
    let dir = set(layout, &[]);
    for name in ["imagelabels.mat", "setid.mat", "cars_train_annos.mat", "odd.mat"] {
        fs::copy(fixtures.join(name), dir.path().join(name)).unwrap();
    }
    assert_says(&open_error(&dir), &["imagelabels.mat, element 1", "no image at", "1.png"]);
    for number in 1..=60 {
        png(&dir.path().join(format!("images/{number}.png")), 0);
    }
    assert_says(&open_error(&dir), &["imagelabels.mat, element 3", "\"3\"", "from 1 to 2"]);
    for (from, to, parts) in [
        ("\"labels\"", "\"label\"", &["`layout.variable`", "no variable `label`", "labels"][..]),
        ("{value}", "{fname}", &["`layout.label`", "{fname}"]),
        ("\"tstid\"", "\"trnid\"", &["setid.mat", "element 1 of `trnid`", "comes twice"]),
        ("\"tstid\"", "\"other\"", &["`layout.split.test`", "no variable `other`"]),
        ("setid", "odd", &["`layout.split.train`", "no variable `trnid`", "doubles"]),
        ("files = \"imagelabels", "files = \"setid", &["no variable `labels`"]),
        ("files =", "train = \"x\"\ntest =", &["`layout.split`"]),
    ] {
        assert!(layout.contains(from), "{from}");
        write_vendors(&dir, &layout.replace(from, to));
        assert_says(&open_error(&dir), parts);
    }
    // Numbers that belong to no image, are not integers, or are not a single number.
    let odd = |train: &str| layout.replace("setid", "odd").replace("\"trnid\"", train);
    for (train, parts) in [
        ("\"longs\"", &["odd.mat, element 1 of `longs`", "-7 is not a number from 1 to 206"][..]),
        ("[\"floats\"]", &["odd.mat, element 1 of `floats`", "1.5"]),
        ("\"word\"", &["odd.mat", "`word`", "class 4"]),
        ("\"structs\"", &["`layout.split.train`", "structs"]),
    ] {
        write_vendors(&dir, &odd(train));
        assert_says(&open_error(&dir), parts);
    }
    let (unsplit, _) = layout.split_once("split =").unwrap();
    let cars = unsplit
        .replace("imagelabels", "cars_train_annos")
        .replace("\"labels\"", "\"annotations\"")
        .replace("{number}.png", "{fname}");
    write_vendors(&dir, &cars);
    assert_says(&open_error(&dir), &["`layout.label`", "{value}", "\"class\""]);
    write_vendors(&dir, &cars.replace("{value}", "{class}"));
    assert_says(&open_error(&dir), &["cars_train_annos.mat, element 1", "00001.jpg"]);
    fs::write(dir.path().join("imagelabels.mat"), "MATLAB 5.0").unwrap();
    write_vendors(&dir, layout);
    assert_says(&open_error(&dir), &["imagelabels.mat", "cut short", "fetch the file again"]);
}

#[test]
fn cifar_files_hold_whole_records_of_listed_classes() {
    let layout = r#"
name = "cifar"
classes = ["x", "y"]
layout = { kind = "cifar-binary", train = "train.bin", test = "test.bin" }
"#;
    let record = |label: u8| [vec![label], vec![7; 3072]].concat();
    let dir = set(layout, &[]);
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("train.bin", &[record(1), record(0)].concat());
    assert_says(&open_error(&dir), &["no CIFAR file", "test.bin"]);
    write("test.bin", &record(1));
    let found = open(&dir).unwrap();
    assert_eq!(found.describe(2), "test.bin, record 0");
    let print = found.fingerprint().unwrap();
    write("test.bin", &[vec![1], vec![8; 3072]].concat());
    assert_ne!(open(&dir).unwrap().fingerprint().unwrap(), print);
    for (bytes, parts) in [
        (record(2), &["test.bin, record 0", "label is 2", "2 classes"][..]),
        (record(1)[1..].to_vec(), &["test.bin", "3072 bytes", "whole records of 3073"]),
        (Vec::new(), &["test.bin", "0 bytes"]),
    ] {
        write("test.bin", &bytes);
        assert_says(&open_error(&dir), parts);
    }
    for (from, to, parts) in [
        ("kind", "label_byte = 1, kind", &["`layout.label_byte`"][..]),
        ("kind", "label_bytes = 0, kind", &["`layout.label_byte`"]),
        ("\"y\"", "{ name = \"y\", key = \"z\" }", &["`classes[1].key`"]),
        ("[\"x\", \"y\"]", "[]", &["`classes`"]),
    ] {
        assert!(layout.contains(from), "{from}");
        write_vendors(&dir, &layout.replace(from, to));
        assert_says(&open_error(&dir), parts);
    }
}

const PARTS: &str = r#"
name = "parts"
classes = [{ name = "cat", folder = "cat" }, { name = "dog", folder = "dog" }]
[layout]
kind = "by-split"
train = { kind = "image-folder", root = "train", pattern = "{class}", ignore = ["none"] }
test = { kind = "list", files = "test.txt", image = "images/{1}.png", label = "{2}" }
"#;

fn parts() -> TempDir {
    let dir = set(PARTS, &[("test.txt", "b cat\na dog\n")]);
    for class in ["cat", "dog", "none"] {
        png(&dir.path().join(format!("train/{class}/0.png")), 9);
    }
    dir
}

#[test]
fn splits_may_lie_in_different_ways() {
    let found = open(&parts()).unwrap();
    assert_eq!((found.indices(Split::Train).len(), found.indices(Split::Test).len()), (2, 2));
    assert_eq!((found.label(2), found.split(2)), (0, Split::Test));
    for (from, to, parts_of_message) in [
        ("pattern = \"{class}\"", "pattern = \"x\"", &["`layout.train.pattern`"][..]),
        ("files = \"test.txt\"", "train = \"a\", test = \"b\"", &["no list of images"]),
        ("label = \"{2}\"", "label = \"{x}\"", &["`layout.test.label`"]),
        ("ignore = [\"none\"]", "ignore = []", &["none of them", "`layout.ignore`"]),
        ("root = \"train\"", "root = \"elsewhere\"", &["no image folder", "elsewhere"]),
        (
            "[{ name = \"cat\", folder = \"cat\" }, { name = \"dog\", folder = \"dog\" }]",
            "[]",
            &["`classes`", "list the classes"],
        ),
        ("images/{1}.png", "train/{1}", &["test.txt, line 1", "no image at"]),
    ] {
        let dir = parts();
        assert!(PARTS.contains(from), "{from}");
        write_vendors(&dir, &PARTS.replace(from, to));
        assert_says(&open_error(&dir), parts_of_message);
    }
    let dir = parts();
    fs::write(dir.path().join("test.txt"), "cat/0 cat\n").unwrap();
    write_vendors(&dir, &PARTS.replace("images/{1}.png", "train/{1}.png"));
    assert_says(&open_error(&dir), &["`layout.test`", "in both parts", "0.png"]);
    let idx = "kind = \"idx\", train_images = \"a\", train_labels = \"a\", test_images = \"a\", \
               test_labels = \"a\" }";
    let own_split = "kind = \"list\", train = \"test.txt\", test = \"more.txt\", image = \
                     \"images/{1}.png\", label = \"{2}\" }";
    fs::write(dir.path().join("more.txt"), "c dog\n").unwrap();
    fs::write(dir.path().join("test.txt"), "b cat\na dog\n").unwrap();
    let test = &PARTS[PARTS.find("kind = \"list\"").unwrap()..];
    write_vendors(&dir, &PARTS.replace(test, own_split));
    assert_says(&open_error(&dir), &["`layout.test`", "a split of its own"]);
    write_vendors(&dir, &PARTS.replace(test, idx));
    assert_says(&open_error(&dir), &["classes[0].folder", "idx"]);
}

#[test]
fn inspecting_says_what_is_here_and_what_is_missing() {
    let dir = listed("a cat\nb dog", "c dog");
    let look = || inspect(&dir.path().join("dataset.toml"), None).unwrap();
    let whole = look();
    assert_eq!(whole.dataset.unwrap().len(), 3);
    assert_eq!(whole.how.as_deref(), Some("run `fetch-it`"));
    let names: Vec<_> = whole.parts.iter().map(|part| part.path.file_name().unwrap()).collect();
    assert_eq!(names, ["images", "test.txt", "train.txt"]);

    fs::remove_file(dir.path().join("test.txt")).unwrap();
    let partly = look();
    assert_eq!(partly.parts.iter().map(|part| part.here).collect::<Vec<_>>(), [true, false, true]);
    assert!(!partly.is_absent());
    assert_says(&partly.dataset.unwrap_err().to_string(), &["test.txt"]);

    let elsewhere = Path::new("no/such/folder");
    assert!(inspect(&dir.path().join("dataset.toml"), Some(elsewhere)).unwrap().is_absent());
    assert!(inspect(&dir.path().join("nothing.toml"), None).is_err());
}

/// As written by spreadsheets and pandas: with a byte-order mark, labels from 1, and integers as `1.0`.
#[test]
fn tables_as_people_have_them() {
    let table =
        "\u{feff}emotion,Usage,pixels\n1.0,Training,1 2\n2,Training,3 4\n1,Test,5 6\n2,Test,7 8\n";
    let error = open_error(&set(FACES, &[("faces.csv", table)]));
    assert_says(&error, &["line 3", "from 0 to 1", "`layout.first_label = 1`"]);
    let toml = FACES.replace("first_label = 0", "first_label = 1");
    let found = open(&set(&toml, &[("faces.csv", table)])).unwrap();
    assert_eq!((0..4).map(|i| found.label(i)).collect::<Vec<_>>(), [0, 1, 0, 1]);

    let toml = FACES.replace("first_label = 0\n", "");
    let error = open_error(&set(&toml, &[("faces.csv", table)]));
    assert_says(&error, &["line 2", "\"1.0\" is not among the 2 listed"]);
    let toml = toml.replace("classes = [\"angry\", \"happy\"]\n", "");
    let names = table.replace("1.0,", "Angry,").replace("2,", "angry,").replace("1,", "happy,");
    let error = open_error(&set(&toml, &[("faces.csv", &names)]));
    assert_says(&error, &["`classes`", "the labels \"Angry\" and \"angry\"", "same to the model"]);
}

const LINES: &str = r#"
name = "lines"
classes = ["cat", { name = "hot dog", key = "1" }]
[layout]
kind = "json-lines"
files = "all.jsonl"
image = "images/{image}.png"
label = "{label}"
domain = "{clinic}"
split = { column = "part", train = "train", test = ["test", "val"] }
"#;

#[test]
fn json_lines_name_images_classes_and_domains() {
    let lines = "\u{feff}{\"image\": \"b\", \"label\": 1, \"clinic\": \"south\", \"part\": \"train\"}\r\n\r\n\
                 {\"image\": \"a\", \"label\": \"cat\", \"clinic\": \"north\", \"part\": \"val\", \"more\": [1, null]}\n\
                 {\"image\": \"no\", \"part\": \"unlabelled\"}\n";
    let set = open(&set(LINES, &[("all.jsonl", lines)])).unwrap();
    let found: Vec<_> = (0..2).map(|i| (set.label(i), set.domain(i), set.split(i))).collect();
    assert_eq!(found, [(1, Some(1), Split::Train), (0, Some(0), Split::Test)]);
    assert_eq!((set.len(), set.domains()), (2, &["north".to_owned(), "south".to_owned()][..]));
    assert_eq!(set.passed_over().to_string(), "1 of other splits");
}

#[test]
fn what_is_wrong_with_json_lines_is_said_with_its_line() {
    let good = r#"{"image": "a", "label": "cat", "clinic": "x", "part": "train"}"#;
    for (line, parts) in [
        ("{", &["all.jsonl, line 2", "not a JSON object"][..]),
        ("[1]", &["all.jsonl, line 2", "not a JSON object"]),
        // A byte-order mark counts only at the beginning of the file.
        ("\u{feff}{}", &["all.jsonl, line 2", "not a JSON object"]),
        (r#"{"image": "b", "label": "cat", "part": "test"}"#, &["line 2", "\"clinic\""]),
        (
            r#"{"image": "b", "label": null, "clinic": "x", "part": "test"}"#,
            &["line 2", "\"label\""],
        ),
        (r#"{"image": "z", "label": "cat", "clinic": "x", "part": "test"}"#, &["line 2", "z.png"]),
        (
            r#"{"image": "b", "label": "dog", "clinic": "x", "part": "test"}"#,
            &["line 2", "\"dog\""],
        ),
        (r#"{"image": "../b", "label": "cat", "clinic": "x", "part": "test"}"#, &["leads out"]),
    ] {
        assert_says(
            &open_error(&set(LINES, &[("all.jsonl", &format!("{good}\n{line}\n"))])),
            parts,
        );
    }
}

#[test]
fn parts_have_domains_or_have_none() {
    let toml = r#"
name = "parts"
classes = ["cat"]
[layout]
kind = "by-split"
train = { kind = "csv", files = "train.csv", image = "images/{file}", label = "{label}", domain = "{site}" }
test = { kind = "csv", files = "test.csv", image = "images/{file}", label = "{label}", domain = "{site}" }
"#;
    let files = [
        ("train.csv", "file,label,site\na.png,cat,x\nb.png,cat,y\n"),
        ("test.csv", "file,label,site\nc.png,cat,y\n"),
    ];
    let parts = open(&set(toml, &files)).unwrap();
    let domains: Vec<_> = (0..3).map(|i| parts.domain(i)).collect();
    assert_eq!((parts.domains().len(), domains), (2, vec![Some(0), Some(1), Some(1)]));
    let (first, last) = toml.rsplit_once(", domain = \"{site}\"").unwrap();
    let one = format!("{first}{last}");
    assert_says(&open_error(&set(&one, &files)), &["`layout.test`", "no domains"]);
}

#[test]
fn a_column_that_is_there_twice_is_refused() {
    let table = "emotion,Usage,pixels,emotion\n0,Training,1 2,1\n1,Test,3 4,0\n";
    let error = open_error(&set(FACES, &[("faces.csv", table)]));
    assert_says(&error, &["faces.csv", "several columns \"emotion\""]);
}
