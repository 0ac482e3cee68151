//! Texts for images.

use std::fs;

use flora_data::Dataset;

use crate::sets::{assert_says, png};

/// Images `a.png` and `b.png` of one class, with `texts` as their file.
fn set(texts: &str) -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("cat/a.png"), 0);
    png(&dir.path().join("cat/b.png"), 1);
    fs::write(dir.path().join("texts.jsonl"), texts).unwrap();
    let description = "name = 'x'\nlayout = { kind = 'image-folder', pattern = '{class}' }\n\
                       texts = { file = 'texts.jsonl', key = 'id', text = 'says' }\n";
    fs::write(dir.path().join("dataset.toml"), description).unwrap();
    let dataset = Dataset::open(dir.path(), None).unwrap();
    (dir, dataset)
}

#[test]
fn images_find_their_text_by_their_name() {
    let (_dir, dataset) = set(
        "{\"id\": \"z\", \"says\": \"nobody\"}\n{\"id\": \"b\", \"says\": \"bee\", \"more\": 1}\n\
         {\"id\": \"y\", \"says\": \"bee\"}\n",
    );
    let texts = dataset.texts().unwrap();
    assert_eq!(texts.texts, ["nobody", "bee"]);
    assert_eq!(texts.of, [vec![], vec![1]]);
    assert_eq!(texts.images(), 1);
}

#[test]
fn an_image_may_have_several_texts_and_its_key_an_extension_or_folders() {
    let three = ["one", "two", "three"];
    for lines in [
        "{\"id\": \"a\", \"says\": \"one\"}\n\n{\"id\": \"a\", \"says\": \"two\"}\n{\"id\": \"b\", \"says\": \"three\"}\n",
        "\u{feff}{\"id\": \"a.png\", \"says\": [\"one\", \"two\"]}\r\n{\"id\": \"./cat/b.png\", \"says\": \"three\"}\r\n",
        "[{\"id\": \"cat/a\", \"says\": [\"one\", \"two\"]},\n {\"id\": \"cat\\\\b.png\", \"says\": \"three\"}]",
    ] {
        let texts = set(lines).1.texts().unwrap();
        assert_eq!(texts.texts, three, "{lines}");
        assert_eq!(texts.of, [vec![0, 1], vec![2]], "{lines}");
    }
}

#[test]
fn tables_and_numbers_will_do() {
    let (dir, dataset) = set("{\"id\": 17, \"says\": \"one\"}\n");
    assert_says(&dataset.texts().unwrap_err().to_string(), &["no image file", "\"17\""]);
    let csv = "\u{feff}says,id\n\"one, or so\",a.png\ntwo,a.png\nthree,b.png\n";
    fs::write(dir.path().join("metadata.csv"), csv).unwrap();
    let toml = fs::read_to_string(dir.path().join("dataset.toml")).unwrap();
    let toml = format!("\u{feff}{}", toml.replace("texts.jsonl", "metadata.csv"));
    fs::write(dir.path().join("dataset.toml"), toml).unwrap();
    let texts = Dataset::open(dir.path(), None).unwrap().texts().unwrap();
    assert_eq!(texts.texts, ["one, or so", "two", "three"]);
    assert_eq!(texts.of, [vec![0, 1], vec![2]]);
    fs::write(dir.path().join("metadata.csv"), "file,says\na.png,one\n").unwrap();
    let error = Dataset::open(dir.path(), None).unwrap().texts().unwrap_err().to_string();
    assert_says(&error, &["metadata.csv", "no column \"id\"", "file"]);
}

/// The same name in two folders: a path refers to one of them, a name to both.
#[test]
fn paths_tell_equal_names_apart() {
    let (dir, _) = set("");
    png(&dir.path().join("dog/a.png"), 2);
    let of = |lines: &str| {
        fs::write(dir.path().join("texts.jsonl"), lines).unwrap();
        Dataset::open(dir.path(), None).unwrap().texts().unwrap().of
    };
    // cat/a.png, cat/b.png, dog/a.png
    let both = of("{\"id\": \"a\", \"says\": \"x\"}");
    assert_eq!(both, [vec![0], vec![], vec![0]]);
    let one = of("{\"id\": \"dog/a.png\", \"says\": \"x\"}");
    assert_eq!(one, [vec![], vec![], vec![0]]);
    // Relative to the list's folder it exists exactly, and not below `cat/cat`.
    png(&dir.path().join("cat/cat/b.png"), 3);
    let exact = of("{\"id\": \"cat/b.png\", \"says\": \"x\"}");
    assert_eq!(exact, [vec![], vec![0], vec![], vec![]]);
}

#[test]
fn text_that_is_not_utf_8_is_told_with_its_line() {
    let (dir, dataset) = set("");
    let path = dir.path().join("texts.jsonl");
    fs::write(&path, b"{}\n{\"id\": \"caf\xe9\"}").unwrap();
    assert_says(&dataset.texts().unwrap_err().to_string(), &["texts.jsonl", "line 2", "UTF-8"]);
    fs::write(&path, b"\xff\xfe{\0}\0").unwrap();
    assert_says(&dataset.texts().unwrap_err().to_string(), &["UTF-16"]);
}

#[test]
fn files_that_do_not_fit_are_named_with_their_line() {
    for (content, parts) in [
        ("{\"id\": \"a\"}\n", ["line 1", "says"]),
        ("{\"id\": \"a\", \"says\": \"x\"}\nnot json\n", ["line 2", "texts.jsonl"]),
        ("{\"id\": \"a\", \"says\": [\"x\", 3]}\n", ["line 1", "says"]),
        ("{\"id\": \"c\", \"says\": \"x\"}\n", ["no image file", "id"]),
    ] {
        let (_dir, dataset) = set(content);
        assert_says(&dataset.texts().unwrap_err().to_string(), &parts);
    }
    let (dir, dataset) = set("");
    fs::remove_file(dir.path().join("texts.jsonl")).unwrap();
    assert_says(&dataset.texts().unwrap_err().to_string(), &["read the texts", "texts.jsonl"]);
}

#[test]
fn a_data_set_without_texts_says_so() {
    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("cat/a.png"), 0);
    let message = Dataset::open(dir.path(), None).unwrap().texts().unwrap_err().to_string();
    assert_says(&message, &["no texts", "[texts]"]);
}
