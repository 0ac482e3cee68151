//! CLIP's byte-pair encoding.

use std::fmt::Write;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::files::{read_small, write};
use crate::{ClipError, TextConfig};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// How CLIP cuts a text into words before the byte pairs are merged.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// CLIP's merges, most frequent first, from `open_clip`'s `bpe_simple_vocab_16e6.txt.gz` (MIT).
const MERGES: &[u8] = include_bytes!("../assets/merges.txt.gz");

/// CLIP's tokenizer, equal to Hugging Face's `CLIPTokenizerFast`.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    context: usize,
    /// Whether the pipeline came from a `tokenizer.json`, and may be another than CLIP's.
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
        let path = Path::new("text_config.vocab_size");
        let wanted = config.vocab_size.checked_sub(514).ok_or_else(|| {
            ClipError::file(path, format!("{} is less than 514", config.vocab_size))
        })?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(MERGES)
            .read_to_string(&mut text)
            .expect("the merges are part of the program");
        let merges: Vec<_> = text.lines().filter_map(pair).take(wanted).collect();
        if merges.len() < wanted {
            let most = merges.len() + 514;
            let problem = format!(
                "{} is more than CLIP's {most}; put the checkpoint's vocab.json and merges.txt beside it",
                config.vocab_size
            );
            return Err(ClipError::file(path, problem));
        }
        let bytes = byte_symbols();
        let symbols = bytes.iter().cloned();
        let words = bytes.iter().map(|symbol| format!("{symbol}</w>"));
        let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
        let special = [START.to_owned(), END.to_owned()];
        let vocabulary: Vocab =
            symbols.chain(words).chain(merged).chain(special).zip(0..).collect();
        Self::build(vocabulary, merges, config).map_err(|problem| ClipError::file(path, problem))
    }

    /// The tokenizer of a checkpoint: its `tokenizer.json`, else its `vocab.json` and `merges.txt`,
    /// or CLIP's own where the folder has none of them.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or do not belong together, by name.
    pub fn from_folder(folder: &Path, config: &TextConfig) -> Result<Self, ClipError> {
        let whole = folder.join("tokenizer.json");
        if whole.exists() {
            return Self::from_tokenizer_json(&whole, config);
        }
        let (vocabulary, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        if !vocabulary.exists() && !merges.exists() {
            return Self::openai(config);
        }
        let entries: Vocab = serde_json::from_str(&read_small(&vocabulary)?)
            .map_err(|error| ClipError::file(&vocabulary, format!("not a vocabulary: {error}")))?;
        let pairs = read_small(&merges)?
            .lines()
            .filter(|line| !line.starts_with("#version") && !line.is_empty())
            .map(|line| {
                pair(line)
                    .ok_or_else(|| ClipError::file(&merges, format!("{line:?} is not a pair")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::build(entries, pairs, config).map_err(|problem| ClipError::file(&vocabulary, problem))
    }

    /// A whole pipeline as Hugging Face's fast tokenizers write it: what it says about normalising,
    /// splitting and merging is followed. Start and end tokens are added here, and texts are cut
    /// here, so its post-processor, truncation and padding are not used.
    fn from_tokenizer_json(path: &Path, config: &TextConfig) -> Result<Self, ClipError> {
        let wrong = |problem: String| ClipError::file(path, problem);
        let text = read_small(path)?;
        // A file that was cut off is the likely damage: it is told without a panic.
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|error| wrong(format!("not JSON: {error}")))?;
        let mut tokenizer: Tokenizer = guarded(|| text.parse())
            .map_err(|problem| wrong(format!("not a tokenizer: {problem}")))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        check_ids(tokenizer.get_vocab(true), config).map_err(wrong)?;
        // Other vocabularies name the two otherwise; then the model's configuration tells.
        let special = |token: &str, id: u32| {
            let named = tokenizer.token_to_id(token);
            let told = (id > 2 && tokenizer.id_to_token(id).is_some()).then_some(id);
            named.or(told).ok_or_else(|| wrong(format!("{token:?} is missing")))
        };
        let (start, end) =
            (special(START, config.bos_token_id)?, special(END, config.eos_token_id)?);
        let context = config.max_position_embeddings;
        Ok(Self { tokenizer, start, end, context, from_json: true })
    }

    fn build(
        vocabulary: Vocab,
        merges: Vec<(String, String)>,
        config: &TextConfig,
    ) -> Result<Self, String> {
        check_ids(vocabulary.iter().map(|(token, &id)| (token, id)), config)?;
        let special = |token: &str| {
            vocabulary.get(token).copied().ok_or_else(|| format!("{token:?} is missing"))
        };
        let (start, end) = (special(START)?, special(END)?);
        // `tokenizers` 0.23 panics where such a word is longer than all others.
        let known = |(left, right): &&(String, String)| {
            vocabulary.contains_key(format!("{left}{right}").as_str())
        };
        if let Some((left, right)) = merges.iter().find(|pair| !known(pair)) {
            return Err(format!("{left:?} and {right:?} merge to a word that it lacks"));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .end_of_word_suffix("</w>".into())
            .unk_token(END.into())
            .build()
            .map_err(|error| error.to_string())?;
        let mut tokenizer = Tokenizer::new(bpe);
        let spaces = Replace::new(
            tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()),
            " ",
        )
        .expect("a valid expression");
        let normalizers = vec![NFC.into(), spaces.into(), Lowercase.into()];
        tokenizer
            .with_normalizer(Some(Normalizers::new(normalizers)))
            .map_err(|error| error.to_string())?;
        let words =
            Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)
                .expect("a valid expression");
        let bytes = ByteLevel::default().add_prefix_space(false);
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
        tokenizer
            .add_special_tokens([START, END].map(|token| AddedToken::from(token, true)))
            .map_err(|error| error.to_string())?;
        let context = config.max_position_embeddings;
        Ok(Self { tokenizer, start, end, context, from_json: false })
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

    /// Everything that the ids depend on, for a digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.tokenizer.to_string(false).unwrap_or_default().into_bytes();
        bytes.extend(format!("{} {} {}", self.start, self.end, self.context).into_bytes());
        bytes
    }

    /// Write the tokenizer as Hugging Face's read it: `vocab.json` and `merges.txt`, or
    /// `tokenizer.json` where it came from one; and `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// What the file system reports, with the file's name.
    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let write = |file: &str, text: String| write(&folder.join(file), &text);
        let name = |id| self.tokenizer.id_to_token(id);
        let document = serde_json::json!({
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": self.context,
            "bos_token": name(self.start),
            "eos_token": name(self.end),
            "pad_token": name(self.end),
            "unk_token": name(self.end),
        });
        let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
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

        // The model gives its merges away only in its serialised form.
        let model = serde_json::to_value(self.tokenizer.get_model()).expect("plain data");
        let BpeModel { merges, .. } = serde_json::from_value(model).expect("a BPE model");
        // The first line is one that readers skip.
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
}

#[derive(Deserialize)]
struct BpeModel {
    merges: Vec<Merge>,
}

/// A merge in either of the spellings that `tokenizers` has had.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// Run what `tokenizers` does with a file from elsewhere: on some that make no sense, it panics
/// (<https://github.com/huggingface/tokenizers/pull/2151>).
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its parts do not fit together".into()),
    }
}

/// Every id must have a row in the model's table, and be one token's: of two, the tokenizer would lose
/// one when it is written again.
fn check_ids<T: std::fmt::Debug + Ord>(
    vocabulary: impl IntoIterator<Item = (T, u32)>,
    config: &TextConfig,
) -> Result<(), String> {
    let mut tokens: Vec<_> = vocabulary.into_iter().map(|(token, id)| (id, token)).collect();
    tokens.sort_unstable();
    if let Some((id, token)) = tokens.last().filter(|&&(id, _)| id as usize >= config.vocab_size) {
        return Err(format!(
            "{token:?} has id {id}, outside the model's vocabulary of {}",
            config.vocab_size
        ));
    }
    match tokens.array_windows().find(|[(first, _), (second, _)]| first == second) {
        None => Ok(()),
        Some([(id, first), (_, second)]) => {
            Err(format!("{first:?} and {second:?} have the same id {id}; each needs its own"))
        }
    }
}

fn pair(line: &str) -> Option<(String, String)> {
    let (left, right) = line.trim_end().split_once(' ')?;
    Some((left.to_owned(), right.to_owned()))
}

/// The character that stands for each byte, in the order of CLIP's vocabulary: bytes that print as
/// Latin-1 first, as themselves, then the others, as the characters from U+0100 on.
fn byte_symbols() -> Vec<String> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let visible = (0..=255u8).filter(printable).map(char::from);
    let hidden = (0..=255u8).filter(|byte| !printable(byte)).zip('\u{100}'..).map(|(_, c)| c);
    visible.chain(hidden).map(String::from).collect()
}
