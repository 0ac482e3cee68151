//! A tokenizer in Hugging Face's files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::ClipTokenizer;
use crate::ClipError;
use crate::files::write;

impl ClipTokenizer {
    /// Writes the tokenizer for Hugging Face's classes: `vocab.json` and `merges.txt`, or `tokenizer.json` if it came
    /// from one; and `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// An I/O error, with the file's name.
    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let write = |file: &str, text: String| write(&folder.join(file), &text);
        let text = serde_json::to_string_pretty(&self.config()).expect("plain JSON") + "\n";
        write("tokenizer_config.json", text)?;
        if self.from_json {
            let path = folder.join("tokenizer.json");
            let text = self.tokenizer.to_string(true);
            let text = text.map_err(|error| ClipError::file(&path, error.to_string()))?;
            return write("tokenizer.json", text);
        }
        let mut words: Vec<_> = self.tokenizer.get_vocab(false).into_iter().collect();
        words.sort_by_key(|&(_, id)| id);
        let entries: Vec<String> =
            words.iter().map(|(word, id)| format!("{}: {id}", serde_json::json!(word))).collect();
        write("vocab.json", format!("{{{}}}\n", entries.join(", ")))?;

        // The model exposes its merges only in its serialised form.
        let model = serde_json::to_value(self.tokenizer.get_model()).expect("plain data");
        let BpeModel { merges, .. } = serde_json::from_value(model).expect("a BPE model");
        // Readers skip the first line.
        let mut text = "#version: 0.2\n".to_owned();
        for merge in merges {
            match merge {
                Merge::Pair(left, right) => writeln!(text, "{left} {right}"),
                Merge::Line(line) => writeln!(text, "{line}"),
            }
            .expect("writing to memory");
        }
        write("merges.txt", text)
    }

    /// `tokenizer_config.json`.
    fn config(&self) -> Value {
        let name = |id| self.tokenizer.id_to_token(id);
        let mut document = json!({
            "tokenizer_class": self.class,
            "model_max_length": self.context,
            "bos_token": name(self.start),
            "eos_token": name(self.end),
            "pad_token": name(self.end),
            "unk_token": name(self.end),
        });
        for (name, token) in &self.named {
            document[name] = token.content.as_str().into();
        }
        let added: BTreeMap<u32, AddedToken> =
            self.tokenizer.get_added_tokens_decoder().into_iter().collect();
        // Readers add these two by themselves.
        let known = |(id, token): (&u32, &AddedToken)| {
            [self.start, self.end].contains(id)
                && *token == AddedToken::from(token.content.clone(), true)
        };
        if !added.iter().all(known) {
            document["added_tokens_decoder"] = json!(added);
        }
        if self.tokenizer.get_encode_special_tokens() {
            document["split_special_tokens"] = true.into();
        }
        document
    }
}

#[derive(Deserialize)]
struct BpeModel {
    merges: Vec<Merge>,
}

/// A merge in either of the formats that `tokenizers` has used.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}
