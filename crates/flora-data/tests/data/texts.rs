//! Texts for images.

use std::fs;

use flora_data::Dataset;

use crate::sets::{assert_says, png};

/// Images `a.png` and `b.png` of one class, and `texts` as their file.
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
    assert_eq!(texts.of, [None, Some(1)]);
}

#[test]
fn files_that_do_not_fit_are_named_with_their_line() {
    for (content, parts) in [
        ("{\"id\": \"a\"}\n", ["line 1", "says"]),
        ("{\"id\": \"a\", \"says\": \"x\"}\nnot json\n", ["line 2", "texts.jsonl"]),
        (
            "{\"id\": \"a\", \"says\": \"x\"}\n{\"id\": \"a\", \"says\": \"y\"}\n",
            ["line 2", "twice"],
        ),
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
