//! Added tokens, names of tokens and longest texts, as the small files beside a vocabulary say them:
//! the ids are those of `transformers.AutoTokenizer`.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::fixture;
use flora_clip::{ClipConfig, ClipTokenizer, TextConfig};
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct Cases {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    files: BTreeMap<String, Value>,
    ids: Vec<Vec<u32>>,
}

/// With rows for some tokens more than the vocabulary has.
fn config() -> TextConfig {
    let config = ClipConfig::from_file(&fixture("tiny-clip/config.json")).unwrap().text_config;
    TextConfig { vocab_size: config.vocab_size + 10, ..config }
}

/// `files` beside the small vocabulary; `tokenizer.json` is what its list has besides CLIP's two.
fn folder(files: &BTreeMap<String, Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let mut content = content.clone();
        if name == "tokenizer.json" {
            let text = std::fs::read(fixture("openclip/tokenizer.json")).unwrap();
            let mut document: Value = serde_json::from_slice(&text).unwrap();
            let more = content.as_array_mut().unwrap();
            document["added_tokens"].as_array_mut().unwrap().append(more);
            content = document;
        }
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    if !files.contains_key("tokenizer.json") {
        for file in ["vocab.json", "merges.txt"] {
            std::fs::copy(fixture("tiny-clip").join(file), folder.path().join(file)).unwrap();
        }
    }
    folder
}

fn ids(folder: &Path, texts: &[String]) -> Vec<Vec<u32>> {
    ClipTokenizer::from_folder(folder, &config()).unwrap().encode_all(texts).unwrap()
}

#[test]
fn added_tokens_have_the_ids_of_transformers() {
    let text = std::fs::read_to_string(fixture("tokens_added.json")).unwrap();
    let Cases { texts, cases } = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 30);
    for Case { name, files, ids: expected } in cases {
        let folder = folder(&files);
        let read = ids(folder.path(), &texts);
        for ((text, read), expected) in texts.iter().zip(&read).zip(&expected) {
            assert_eq!(read, expected, "{name}: {text:?}");
        }
        // What is written is read as the same.
        let again = tempfile::tempdir().unwrap();
        let tokenizer = ClipTokenizer::from_folder(folder.path(), &config()).unwrap();
        tokenizer.save(again.path()).unwrap();
        assert_eq!(ids(again.path(), &texts), expected, "{name}, saved and read again");
        // For transformers, too: `check_saved.py` reads them.
        if let Some(kept) = std::env::var_os("FLORA_SAVED_TOKENIZERS") {
            let kept = Path::new(&kept).join(&name);
            std::fs::create_dir_all(&kept).unwrap();
            tokenizer.save(&kept).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_followed_is_named() {
    const CONFIG: &str = "tokenizer_config.json";
    let token = |content: &str| json!({ "content": content });
    let decoder = |id: &str, token: Value| json!({ "added_tokens_decoder": { id: token } });
    for (file, content, named) in [
        (CONFIG, json!({"padding_side": "left"}), "padding_side: \"left\"; only \"right\""),
        (CONFIG, json!({"truncation_side": "left"}), "truncation_side: \"left\""),
        (CONFIG, json!({"do_lower_case": false}), "do_lower_case is false"),
        (CONFIG, json!({"do_lower_case": "no"}), "do_lower_case: \"no\""),
        (CONFIG, json!({"tokenizer_class": "GPT2Tokenizer"}), "tokenizer_class is \"GPT2"),
        (CONFIG, json!({"model_max_length": 1}), "model_max_length: 1"),
        (CONFIG, json!({"model_max_length": "77"}), "model_max_length: \"77\""),
        (CONFIG, json!({"bos_token": null}), "bos_token: null"),
        (CONFIG, json!({"bos_token": 5}), "bos_token: no token"),
        (CONFIG, json!({"pad_token": {"text": "<pad>"}}), "pad_token: no token: text"),
        (CONFIG, json!({"extra_special_tokens": "<a>"}), "extra_special_tokens: "),
        (CONFIG, json!({"cat_token": "<cat>", "dog_token": "<dog>"}), "cat_token and dog_token"),
        (CONFIG, json!({"added_tokens_decoder": [1]}), "added_tokens_decoder: no object"),
        (CONFIG, decoder("x", token("<a>")), "added_tokens_decoder: \"x\": no id"),
        (CONFIG, decoder("-1", token("<a>")), "added_tokens_decoder: \"-1\": no id"),
        (CONFIG, decoder("1024", json!("<a>")), "\"1024\": no token"),
        (CONFIG, decoder("1024", json!({"content": 5})), "\"1024\": no token: content"),
        (CONFIG, decoder("1030", token("<a>")), "\"<a>\" has the id 1030, but is 1024"),
        (CONFIG, decoder("1030", token("<|endoftext|>")), "has the id 1030, but is 1023"),
        (CONFIG, json!([]), "not a JSON object"),
        ("special_tokens_map.json", json!({"pad_token": {"content": []}}), "pad_token: no token"),
        ("special_tokens_map.json", json!(5), "not a JSON object"),
        ("added_tokens.json", json!({"<a>": "1024"}), "\"<a>\" has the id \"1024\""),
        ("added_tokens.json", json!({"<a>": 4_294_967_296u64}), "expected a number"),
        ("added_tokens.json", json!({"<a>": 1025}), "\"<a>\" has the id 1025, but is 1024"),
        ("added_tokens.json", json!({"<a>": 1024, "<b>": 1024}), "has the id 1024, but is 1025"),
        ("tokenizer.json", json!([{"id": 7, "content": "<a>"}]), "\"<a>\" has the id 7"),
        ("tokenizer.json", json!([{"content": "<a>"}]), "added_tokens: \"<a>\" has no id"),
    ] {
        let folder = folder(&[(file.to_owned(), content.clone())].into());
        let error = ClipTokenizer::from_folder(folder.path(), &config()).unwrap_err().to_string();
        let told = error.contains(named) && error.contains(folder.path().to_str().unwrap());
        assert!(told && error.len() < 500, "{file} {content}: {error}");
    }
    // Twenty rows more than there are.
    let many = (0..20).map(|i| (format!("<{i}>"), json!(1024 + i))).collect();
    let folder_of_many = folder(&[("added_tokens.json".to_owned(), Value::Object(many))].into());
    let error = ClipTokenizer::from_folder(folder_of_many.path(), &config()).unwrap_err();
    assert!(error.to_string().contains("outside the model's vocabulary of 1034"), "{error}");
}

#[test]
fn padding_above_the_end_token_is_refused_where_the_largest_id_counts() {
    let files = [
        ("tokenizer_config.json".to_owned(), json!({"pad_token": "<pad>"})),
        ("added_tokens.json".to_owned(), json!({"<pad>": 1024})),
    ];
    let folder = folder(&files.into());
    ClipTokenizer::from_folder(folder.path(), &config()).unwrap();
    let legacy = TextConfig { eos_token_id: 2, ..config() };
    let error = ClipTokenizer::from_folder(folder.path(), &legacy).unwrap_err().to_string();
    assert!(error.contains("pad_token") && error.contains("write 1023"), "{error}");
}
