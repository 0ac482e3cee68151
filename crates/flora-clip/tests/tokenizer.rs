//! The same texts give the same ids as `transformers.CLIPTokenizer`.

mod common;

use common::fixture;
use flora_clip::{ClipConfig, ClipTokenizer, TextConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

fn rows(file: &str) -> Vec<Row> {
    serde_json::from_str(&std::fs::read_to_string(fixture(file)).unwrap()).unwrap()
}

fn tiny() -> TextConfig {
    ClipConfig::from_file(&fixture("tiny-clip/config.json")).unwrap().text_config
}

/// Every text, so that one run shows all that differs.
fn assert_equal(tokenizer: &ClipTokenizer, rows: &[Row]) {
    let differing: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let ids = tokenizer.encode(&row.text).unwrap();
            (ids != row.ids).then(|| format!("{:?}\n  {ids:?}\n  {:?}", row.text, row.ids))
        })
        .collect();
    assert!(differing.is_empty(), "{} texts differ:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn the_whole_vocabulary_gives_the_ids_of_transformers() {
    let rows = rows("tokens.json");
    assert!(rows.len() > 250);
    assert_equal(&ClipTokenizer::openai(&TextConfig::default()).unwrap(), &rows);
}

#[test]
fn texts_of_all_kinds_give_the_ids_of_transformers() {
    let rows = rows("tokens_many.json");
    assert!(rows.len() >= 2000);
    assert_equal(&ClipTokenizer::openai(&TextConfig::default()).unwrap(), &rows);
}

#[test]
fn a_checkpoint_s_own_vocabulary_gives_the_ids_of_transformers() {
    let tokenizer = ClipTokenizer::from_folder(&fixture("tiny-clip"), &tiny()).unwrap();
    assert_equal(&tokenizer, &rows("tokens_tiny.json"));
}

#[test]
fn the_first_merges_are_the_small_vocabulary() {
    let read = ClipTokenizer::from_folder(&fixture("tiny-clip"), &tiny()).unwrap();
    let cut = ClipTokenizer::openai(&tiny()).unwrap();
    for row in rows("tokens.json") {
        assert_eq!(
            read.encode(&row.text).unwrap(),
            cut.encode(&row.text).unwrap(),
            "{:?}",
            row.text
        );
    }
}

#[test]
fn a_folder_without_vocabulary_means_clip_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = ClipTokenizer::from_folder(folder.path(), &TextConfig::default()).unwrap();
    assert_eq!(
        tokenizer.encode("a photo of a cat.").unwrap(),
        [49406, 320, 1125, 539, 320, 2368, 269, 49407]
    );
}

#[test]
fn a_saved_tokenizer_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = ClipTokenizer::openai(&tiny()).unwrap();
    tokenizer.save(folder.path()).unwrap();
    for file in ["vocab.json", "merges.txt"] {
        let words = |path| std::fs::read_to_string(path).unwrap();
        let (saved, hugging_face) =
            (words(folder.path().join(file)), words(fixture("tiny-clip").join(file)));
        if file == "merges.txt" {
            assert_eq!(saved, hugging_face);
        } else {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(parse(&saved), parse(&hugging_face));
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let read = ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap();
    assert_equal(&read, &rows("tokens_tiny.json"));
}

/// What `transformers` writes instead of vocab.json and merges.txt, here by OpenCLIP's `save_for_hf`.
#[test]
fn tokenizer_json_is_a_whole_pipeline() {
    let read = ClipTokenizer::from_folder(&fixture("openclip"), &tiny()).unwrap();
    assert_equal(&read, &rows("tokens_tiny.json"));

    // Saved and read again, too; and it is followed where it differs from CLIP's.
    let folder = tempfile::tempdir().unwrap();
    read.save(folder.path()).unwrap();
    assert_equal(
        &ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap(),
        &rows("tokens_tiny.json"),
    );
    let path = folder.path().join("tokenizer.json");
    let mut document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    document["normalizer"] = serde_json::json!({ "type": "NFC" });
    std::fs::write(&path, document.to_string()).unwrap();
    let cased = ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap();
    assert_ne!(cased.encode("A CAT").unwrap(), cased.encode("a cat").unwrap());
    assert_eq!(cased.encode("a cat").unwrap(), read.encode("a cat").unwrap());

    for damaged in ["", "{}", r#"{"model":{"vocab":{},"merges":["x"]}}"#] {
        std::fs::write(&path, damaged).unwrap();
        let error = ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap_err();
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let vocabulary = std::fs::read_to_string(fixture("tiny-clip/vocab.json")).unwrap();
    let merges = std::fs::read_to_string(fixture("tiny-clip/merges.txt")).unwrap();
    let no_end = vocabulary.replace("<|endoftext|>", "<|end|>");
    let beyond = vocabulary.replace(": 1023", ": 1024");
    let twice = vocabulary.replace(": 1023", ": 1022");
    let long = "#version: 0.2\n<|startoftext|> <|endoftext|>\n";
    let cases: [(&str, Option<&str>, Option<&str>, &str); 9] = [
        ("no vocabulary", None, Some(&merges), "vocab.json"),
        ("no merges", Some(&vocabulary), None, "merges.txt"),
        ("half a vocabulary", Some(&vocabulary[..500]), Some(&merges), "vocab.json"),
        ("no end token", Some(&no_end), Some(&merges), "<|endoftext|>"),
        ("an id beyond the model", Some(&beyond), Some(&merges), "1024"),
        ("a line that is no pair", Some(&vocabulary), Some("#version: 0.2\nabc\n"), "merges.txt"),
        ("an id of two tokens", Some(&twice), Some(&merges), "the same id 1022"),
        ("a merge to a longer word than any", Some(&vocabulary), Some(long), "vocab.json"),
        ("a merge of unknown symbols", Some(&vocabulary), Some("猫 犬\n"), "vocab.json"),
    ];
    for (what, vocabulary, merges, named) in cases {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("vocab.json", vocabulary), ("merges.txt", merges)] {
            if let Some(text) = text {
                std::fs::write(folder.path().join(file), text).unwrap();
            }
        }
        let error = ClipTokenizer::from_folder(folder.path(), &tiny()).expect_err(what).to_string();
        assert!(
            error.contains(named) && error.contains(folder.path().to_str().unwrap()),
            "{error}"
        );
    }
}

/// The library panics on some of these.
#[test]
fn a_damaged_tokenizer_json_is_an_error() {
    let whole = std::fs::read_to_string(fixture("openclip/tokenizer.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.json");
    let refused = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let error = ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    };
    for end in (0..whole.len()).step_by(97).filter(|&end| whole.is_char_boundary(end)) {
        refused(&whole[..end]);
    }
    let with = |field: &str, value: serde_json::Value| {
        let mut document: serde_json::Value = serde_json::from_str(&whole).unwrap();
        document[field] = value;
        document.to_string()
    };
    let precompiled = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
    refused(&with("normalizer", precompiled));
    refused(&with("decoder", serde_json::json!(1)));

    let endless = serde_json::json!({"type": "FixedLength", "length": 0});
    std::fs::write(&file, with("pre_tokenizer", endless)).unwrap();
    let tokenizer = ClipTokenizer::from_folder(folder.path(), &tiny()).unwrap();
    assert!(tokenizer.encode("a cat").is_err());
}

#[test]
fn impossible_vocabulary_sizes_are_refused() {
    for size in [0, 513, 49409] {
        let config = TextConfig { vocab_size: size, ..TextConfig::default() };
        let error = ClipTokenizer::openai(&config).unwrap_err().to_string();
        assert!(error.contains(&size.to_string()) && error.contains("vocab_size"), "{error}");
    }
    let config = TextConfig { vocab_size: 514, ..TextConfig::default() };
    assert_eq!(ClipTokenizer::openai(&config).unwrap().encode("a").unwrap(), [512, 320, 513]);
}
