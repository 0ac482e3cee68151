//! CLIP's byte-pair encoding.

mod added;
mod declared;
mod file;
mod save;
mod vocabulary;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tokenizers::{AddedToken, Tokenizer};

use self::declared::Declared;
use crate::{ClipError, TextConfig};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// CLIP's tokenizer, equivalent to Hugging Face's `CLIPTokenizerFast`.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    context: usize,
    /// Tokens by their names in `tokenizer_config.json`.
    named: Vec<(String, AddedToken)>,
    /// Its class in transformers.
    class: String,
    /// Whether the pipeline came from a `tokenizer.json`, and may differ from CLIP's.
    from_json: bool,
}

impl ClipTokenizer {
    /// CLIP's own vocabulary, cut to `config.vocab_size` entries: 256 bytes, 256 bytes at the end
    /// of a word, the first `vocab_size - 514` merges, and the start and end tokens.
    ///
    /// # Errors
    ///
    /// A vocabulary smaller than 514 or larger than CLIP's 49,408.
    pub fn openai(config: &TextConfig) -> Result<Self, ClipError> {
        Self::openai_with(Declared::default(), config)
    }

    fn openai_with(declared: Declared, config: &TextConfig) -> Result<Self, ClipError> {
        let path = Path::new("text_config.vocab_size");
        let wrong = |problem| ClipError::file(path, problem);
        let (vocabulary, merges) = vocabulary::openai(config.vocab_size).map_err(wrong)?;
        let tokenizer = vocabulary::pipeline(vocabulary, merges, END).map_err(wrong)?;
        Self::complete(tokenizer, declared, config, path, false)
    }

    /// Completes the pipeline from the file `path` with the tokens that the files beside it declare.
    fn complete(
        mut tokenizer: Tokenizer,
        declared: Declared,
        config: &TextConfig,
        path: &Path,
        from_json: bool,
    ) -> Result<Self, ClipError> {
        let wrong = |problem: String| ClipError::file(path, problem);
        let mut named = declared.named.clone();
        // transformers' CLIPTokenizer knows these without a file. Other vocabularies may lack them.
        for (name, content) in
            [("bos_token", START), ("eos_token", END), ("unk_token", END), ("pad_token", END)]
        {
            let there = named.iter().any(|(known, _)| known == name);
            if !there && tokenizer.token_to_id(content).is_some() {
                named.push((name.to_owned(), AddedToken::from(content, true)));
            }
        }
        declared::order(&mut named);
        let added = declared.add(&mut tokenizer, &named);
        added.map_err(|problem| ClipError::file(declared.source(path), problem))?;
        tokenizer.set_encode_special_tokens(declared.split_special);
        vocabulary::check_ids(tokenizer.get_vocab(true), config).map_err(wrong)?;

        let special = |name: &str, default: &str, id: u32| {
            let Some((_, token)) = named.iter().find(|(known, _)| known == name) else {
                // Other vocabularies may use other names for the two; then the model's configuration decides.
                let told =
                    (from_json && id > 2 && tokenizer.id_to_token(id).is_some()).then_some(id);
                return told.ok_or_else(|| format!("{default:?} is missing"));
            };
            let id = tokenizer.token_to_id(&token.content);
            id.ok_or_else(|| format!("{name}: {:?} is missing", token.content))
        };
        let start = special("bos_token", START, config.bos_token_id).map_err(wrong)?;
        let end = special("eos_token", END, config.eos_token_id).map_err(wrong)?;
        if config.eos_token_id == 2
            && let Ok(pad) = special("pad_token", END, 0)
            && pad > end
        {
            return Err(wrong(format!(
                "pad_token has the id {pad}, above the end token's {end}; with eos_token_id 2 in \
                 config.json, the text's features would be those of the padding: write {end} there"
            )));
        }
        let longest = declared.longest.unwrap_or(usize::MAX);
        let context = config.max_position_embeddings.min(longest);
        let class = declared.other_class.unwrap_or_else(|| "CLIPTokenizer".to_owned());
        Ok(Self { tokenizer, start, end, context, named, class, from_json })
    }

    /// The ids of a text between its start and end tokens, cut to the model's context.
    ///
    /// # Errors
    ///
    /// A text that the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ClipError> {
        let encoding = guarded(|| self.tokenizer.encode(text, false)).map_err(|problem| {
            ClipError::Text { text: text.chars().take(80).collect(), problem }
        })?;
        let room = self.context.saturating_sub(2);
        let mut ids = vec![self.start];
        ids.extend(encoding.get_ids().iter().take(room));
        ids.push(self.end);
        Ok(ids)
    }

    /// [`ClipTokenizer::encode`] for each text.
    ///
    /// # Errors
    ///
    /// The first text that the tokenizer refuses.
    pub fn encode_all<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>, ClipError> {
        texts.iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// All data that determine the ids, for a digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.tokenizer.to_string(false).unwrap_or_default().into_bytes();
        bytes.extend(format!("{} {} {}", self.start, self.end, self.context).into_bytes());
        if self.tokenizer.get_encode_special_tokens() {
            bytes.extend(b" split_special_tokens");
        }
        bytes
    }
}

/// Runs `tokenizers` on an untrusted file: it panics on some inconsistent ones
/// (<https://github.com/huggingface/tokenizers/pull/2151>).
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its parts are inconsistent".into()),
    }
}
