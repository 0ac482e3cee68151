//! The tokenizer of a folder.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::Vocab;

use super::declared::Declared;
use super::{ClipTokenizer, END, guarded, vocabulary};
use crate::files::read_small;
use crate::{ClipError, TextConfig};

impl ClipTokenizer {
    /// The tokenizer of a checkpoint: its `tokenizer.json`, else its `vocab.json` and `merges.txt`; if the folder has
    /// none of them, CLIP's own. Added tokens, the names of tokens and the longest text come from
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, as in `transformers` 5: the last two
    /// count only if the first has no `added_tokens_decoder`.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or are inconsistent, and unsupported settings, by name.
    pub fn from_folder(folder: &Path, config: &TextConfig) -> Result<Self, ClipError> {
        let whole = folder.join("tokenizer.json");
        if whole.exists() {
            return Self::from_tokenizer_json(&whole, folder, config);
        }
        let (entries, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        let declared = Declared::read(folder, None)?;
        declared.check_pipeline(folder)?;
        if !entries.exists() && !merges.exists() {
            return Self::openai_with(declared, config);
        }
        let wrong = |problem: String| ClipError::file(&entries, problem);
        let vocabulary: Vocab = serde_json::from_str(&read_small(&entries)?)
            .map_err(|error| wrong(format!("not a vocabulary: {error}")))?;
        let pairs = read_small(&merges)?
            .lines()
            .filter(|line| !line.starts_with("#version") && !line.is_empty())
            .map(|line| {
                vocabulary::pair(line)
                    .ok_or_else(|| ClipError::file(&merges, format!("{line:?} is not a pair")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        vocabulary::check_ids(vocabulary.iter().map(|(token, &id)| (token, id)), config)
            .map_err(wrong)?;
        let unknown = declared.content("unk_token").unwrap_or(END).to_owned();
        let pipeline = vocabulary::pipeline(vocabulary, pairs, &unknown).map_err(wrong)?;
        Self::complete(pipeline, declared, config, &entries, false)
    }

    /// A whole pipeline written by Hugging Face's fast tokenizers: its normalisation, splitting and merging are used.
    /// Start and end tokens are added here, and texts are cut here, so its post-processor, truncation and padding are
    /// not used.
    fn from_tokenizer_json(
        path: &Path,
        folder: &Path,
        config: &TextConfig,
    ) -> Result<Self, ClipError> {
        let wrong = |problem: String| ClipError::file(path, problem);
        // Truncation is the most likely damage: it gives an error without a panic.
        let mut document: Value = serde_json::from_str(&read_small(path)?)
            .map_err(|error| wrong(format!("not JSON: {error}")))?;
        let mut declared = Declared::read(folder, Some((path, &document)))?;
        declared.begin_with_listed(&document).map_err(wrong)?;
        if let Some(tokens) = document.get_mut("added_tokens") {
            *tokens = Value::Array(Vec::new());
        }
        let text = document.to_string();
        let mut tokenizer: Tokenizer = guarded(|| text.parse())
            .map_err(|problem| wrong(format!("not a tokenizer: {problem}")))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        Self::complete(tokenizer, declared, config, path, true)
    }
}
